"""Decoding: the right frames and the right sound, whatever the container does."""

import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from counterpoise.data.media import MediaError, read_frames, read_wave, resample

CONTAINERS = {
    "flv": {"video": "flv", "audio": "libmp3lame"},
    "mp4": {"video": "libx264", "audio": "aac"},
    "avi": {"video": "mpeg4", "audio": "pcm_s16le"},
    "mpg": {"video": "mpeg1video", "audio": "mp2", "fps": 25},
    "mkv": {"video": "mpeg4", "audio": "aac"},
}


def shown(frames):
    """The mean gray level of each frame."""
    return frames.reshape(len(frames), -1).mean(axis=1)


def loudest(wave, rate):
    """The frequency with the most power, in Hz."""
    power = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    return power.argmax() * rate / len(wave)


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_frames_are_those_shown_at_each_second(tmp_path, clip, gray, suffix):
    options = {"fps": 10, **CONTAINERS[suffix]}
    path = clip(tmp_path / f"a.{suffix}", seconds=2.5, **options)
    frames = read_frames(path, fps=1.0, size=(24, 32))
    assert frames.shape == (3, 3, 24, 32)
    assert frames.dtype == np.uint8
    expected = [gray(second * options["fps"]) for second in range(3)]
    # The muxer of the miniature .mpg repeats a time stamp, which moves what follows by one frame, 8 levels.
    np.testing.assert_allclose(shown(frames), expected, atol=14 if suffix == "mpg" else 6)


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_sound_has_its_pitch_and_length(tmp_path, clip, suffix):
    path = clip(tmp_path / f"a.{suffix}", seconds=2.0, **CONTAINERS[suffix])
    wave = read_wave(path, rate=16000)
    assert wave.dtype == np.float32
    assert abs(len(wave) / 16000 - 2.0) < 0.15
    assert abs(loudest(wave, 16000) - 440) < 2
    assert abs(np.abs(wave[4000:20000]).max() - 0.5) < 0.05


def test_pixels_are_rgb_in_the_right_place(tmp_path):
    path = tmp_path / "a.mkv"
    picture = np.zeros((32, 48, 3), np.uint8)
    picture[:16, :24] = [250, 10, 10]
    picture[16:, 24:] = [10, 10, 250]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv444p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    frame = read_frames(path, fps=1.0, size=(32, 48))[0]
    np.testing.assert_allclose(frame[:, 4:12, 4:20].mean(axis=(1, 2)), [250, 10, 10], atol=6)
    np.testing.assert_allclose(frame[:, 20:28, 28:44].mean(axis=(1, 2)), [10, 10, 250], atol=6)


def test_a_window_gives_its_own_frames_and_sound(tmp_path, clip, gray):
    path = clip(tmp_path / "a.mkv", seconds=4.0, fps=10)
    frames = read_frames(path, fps=2.0, size=(16, 16), start=1.0, end=2.5)
    np.testing.assert_allclose(shown(frames), [gray(10), gray(15), gray(20)], atol=6)
    wave = read_wave(path, rate=8000, start=1.0, end=2.5)
    assert len(wave) == 12000


def test_no_more_frames_than_asked_are_returned(tmp_path, clip):
    path = clip(tmp_path / "a.mkv", seconds=4.0)
    assert len(read_frames(path, fps=1.0, size=(16, 16), limit=2)) == 2


def test_variable_frame_rate_goes_by_time_stamps(tmp_path, clip, gray):
    times = [0.0, 0.1, 0.2, 1.5, 2.2, 2.9]
    path = clip(tmp_path / "a.mkv", fps=10, frame_times=times, audio=None)
    frames = read_frames(path, fps=1.0, size=(16, 16))
    # At 1 s the frame of 0.2 s is still shown, at 2 s that of 1.5 s.
    np.testing.assert_allclose(shown(frames), [gray(0), gray(2), gray(3)], atol=6)


@pytest.mark.parametrize("audio_first", [True, False])
def test_streams_may_come_in_any_order(tmp_path, clip, gray, audio_first):
    path = clip(tmp_path / "a.mkv", audio_first=audio_first)
    assert abs(shown(read_frames(path, fps=1.0, size=(16, 16)))[1] - gray(10)) < 6
    assert abs(loudest(read_wave(path, rate=16000), 16000) - 440) < 2


def test_of_several_streams_the_first_counts(tmp_path, clip, gray):
    path = clip(tmp_path / "a.mkv", video_streams=2, audio_streams=2)
    with av.open(str(path)) as container:
        assert (len(container.streams.video), len(container.streams.audio)) == (2, 2)
        first = container.streams.video[0].index
    frames = read_frames(path, fps=1.0, size=(16, 16))
    assert first is not None
    assert abs(shown(frames)[0] - gray(0)) < 6
    assert abs(loudest(read_wave(path, rate=16000), 16000) - 440) < 2


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_any_rate_and_number_of_channels_becomes_one_wave(tmp_path, wav, layout, rate):
    path = wav(tmp_path / "a.wav", rate=rate, layout=layout, seconds=1.0)
    wave = read_wave(path, rate=16000)
    assert abs(len(wave) - 16000) <= 2
    channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    loudness = 0.5 * sum(1 / 2**channel for channel in range(channels)) / channels
    assert abs(np.abs(wave[2000:14000]).max() - loudness) < 0.02
    assert abs(loudest(wave, 16000) - 440) < 2


def test_the_first_channel_can_be_taken_alone(tmp_path, wav):
    path = wav(tmp_path / "a.wav", layout="stereo", seconds=1.0)
    assert abs(np.abs(read_wave(path, rate=16000, channel="first")).max() - 0.5) < 0.01


def test_sixteen_bit_sound_at_its_own_rate_is_exact(tmp_path, wav):
    path = wav(tmp_path / "a.wav", seconds=0.5)
    stored = np.frombuffer(path.read_bytes()[-16000:], "<i2")
    np.testing.assert_array_equal(np.round(read_wave(path, rate=16000) * 32768), stored)


def test_resampling_keeps_what_both_rates_can_hold_and_removes_the_rest():
    time = np.arange(44100) / 44100
    low, high = np.sin(2 * np.pi * 1000 * time), np.sin(2 * np.pi * 15000 * time)
    np.testing.assert_allclose(
        resample(low.astype(np.float32), 44100, 16000)[200:-200],
        np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)[200:-200],
        atol=0.01,
    )
    assert np.abs(resample(high.astype(np.float32), 44100, 16000)[200:-200]).max() < 0.02


def test_metadata_in_another_encoding_is_no_obstacle(tmp_path, clip):
    path = clip(tmp_path / "a.avi", video="mpeg4", audio="pcm_s16le", metadata={"title": "PLACEHOLDER-TITLE"})
    path.write_bytes(path.read_bytes().replace(b"PLACEHOLDER-TITLE", b"caf\xe9\xff\xfe-\x92TITLE-xx"))
    assert len(read_frames(path, fps=1.0, size=(16, 16))) == 2


def test_a_cover_picture_is_not_the_video(tmp_path, clip):
    path = clip(tmp_path / "a.mkv", video=None, audio="aac")
    with pytest.raises(MediaError, match="no video stream"):
        read_frames(path, fps=1.0, size=(16, 16))


def test_missing_sound_is_said(tmp_path, clip):
    path = clip(tmp_path / "a.mkv", audio=None)
    with pytest.raises(MediaError, match="no audio stream"):
        read_wave(path, rate=16000)


def test_sound_of_no_samples_is_said(tmp_path, wav):
    path = wav(tmp_path / "a.wav", seconds=1.0)
    path.write_bytes(path.read_bytes()[:44])
    with pytest.raises(MediaError, match=r"audio|not a media file"):
        read_wave(path, rate=16000)


def test_a_clip_cut_short_gives_what_is_there(tmp_path, clip):
    path = clip(tmp_path / "a.flv", seconds=4.0, video="flv", audio="libmp3lame")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames = read_frames(path, fps=1.0, size=(16, 16))
    assert 1 <= len(frames) < 4


def test_frame_counts_in_the_header_are_not_believed(tmp_path, clip):
    path = clip(tmp_path / "a.avi", video="mpeg4", audio="pcm_s16le", seconds=3.0)
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"avih", 24), (b"strh", 40)):
        place = data.find(mark) + offset
        data[place : place + 4] = (0).to_bytes(4, "little")
    path.write_bytes(bytes(data))
    assert len(read_frames(path, fps=1.0, size=(16, 16))) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"this is no film\n" * 100, "not a media file"),
        (b"<html><body>quota exceeded</body></html>", "a web page in place of the file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:92\nsize 414429\n", "a git-lfs pointer"),
    ],
)
def test_what_is_no_clip_is_named(tmp_path, content, message):
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=message):
        read_frames(path, fps=1.0, size=(16, 16))
    with pytest.raises(MediaError, match=message):
        read_wave(path, rate=16000)


PLAYLISTS = {
    "ffconcat": "ffconcat version 1.0\nfile other.mp4\n",
    "after a remark": "# of mine\nffconcat version 1.0\nfile other.mp4\n",
    "HLS": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nother.mp4\n#EXT-X-ENDLIST\n",
    "SDP": "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n",
    "DASH": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet>'
    '<Representation id="1"><BaseURL>other.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>',
}


@pytest.mark.parametrize("name", ["a.mp4", "a.m3u8"])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_in_place_of_a_clip_is_not_followed(tmp_path, clip, kind, name):
    clip(tmp_path / "other.mp4", video="libx264", audio="aac")
    path = tmp_path / name
    path.write_text(PLAYLISTS[kind])
    with pytest.raises(MediaError, match=r"a playlist in place of the file|its format is none of|not a media file"):
        read_frames(path, fps=1.0, size=(16, 16))
    with pytest.raises(MediaError, match=r"a playlist in place of the file|its format is none of|not a media file"):
        read_wave(path, rate=16000)


def test_a_path_is_never_an_address(tmp_path, clip, monkeypatch):
    clip(tmp_path / "data:,x/a.mkv")
    monkeypatch.chdir(tmp_path)
    assert len(read_frames(Path("data:,x/a.mkv"), fps=1.0, size=(16, 16))) == 2


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MediaError, match="missing"):
        read_frames(tmp_path / "a.mp4", fps=1.0, size=(16, 16))


def test_a_window_behind_the_end_is_said(tmp_path, clip):
    path = clip(tmp_path / "a.mkv", seconds=1.0)
    with pytest.raises(MediaError, match="over before 5 s"):
        read_frames(path, fps=1.0, size=(16, 16), start=5.0, end=6.0)
    with pytest.raises(MediaError, match="over before 5 s"):
        read_wave(path, rate=16000, start=5.0, end=6.0)


def test_frames_with_reordered_pictures_in_avi_come_in_time(tmp_path):
    """AVI has no presentation times; H.264 decodes its pictures in another order than they are shown in."""
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt, stream.max_b_frames = 64, 48, "yuv420p", 2
        for number in range(30):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 + 7 * number, np.uint8), format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    frames = read_frames(path, fps=10.0, size=(48, 64))
    np.testing.assert_allclose(shown(frames), 20 + 7 * np.arange(30), atol=4)


MATRICES = {  # 16.16 fixed point: a, b, c, d of the display matrix, and what it does to pixels (rows, columns, 3)
    "quarter turn clockwise": ((0, 1, -1, 0), lambda pixels: np.rot90(pixels, -1)),
    "quarter turn counterclockwise": ((0, -1, 1, 0), lambda pixels: np.rot90(pixels, 1)),
    "half turn": ((-1, 0, 0, -1), lambda pixels: np.rot90(pixels, 2)),
    "mirrored": ((-1, 0, 0, 1), lambda pixels: pixels[:, ::-1]),
}


def write_turned(path, numbers):
    """An MP4 with a bright corner at the top left and a display matrix, as telephones write it."""
    picture = np.full((48, 64, 3), 20, np.uint8)
    picture[:24, :32] = 220
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 4 + 4 * 5 + 8 + 8  # flags, times, identity; layer, volume
    a, b, c, d = numbers
    fixed = [a * 65536, b * 65536, 0, c * 65536, d * 65536, 0, 0, 0, 1 << 30]
    content[place : place + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in fixed)
    path.write_bytes(content)
    return picture


@pytest.mark.parametrize("name", MATRICES)
def test_pictures_are_upright(tmp_path, name):
    numbers, turn = MATRICES[name]
    picture = write_turned(tmp_path / "a.mp4", numbers)
    expected = turn(picture)
    frames = read_frames(tmp_path / "a.mp4", fps=1.0, size=expected.shape[:2])
    np.testing.assert_allclose(frames[0].transpose(1, 2, 0), expected, atol=40)
    assert np.abs(frames[0].transpose(1, 2, 0).astype(int) - expected).mean() < 5


def write_late(path, *, picture_at=0.0, sound_at=0.0, lost=None):
    """A clip whose tone begins ``sound_at`` seconds in; packets of sound between the times ``lost`` are missing."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        packets = []
        for number in range(40):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 100, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number + round(10 * picture_at), Fraction(1, 10)
            packets += video.encode(frame)
        packets += video.encode()
        for number in range(160):
            time = np.arange(400) / 16000 + number / 40
            wave = np.round(16000 * np.sin(2 * np.pi * 440 * time) * (time < 1.0)).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = (
                16000,
                number * 400 + round(16000 * sound_at),
                Fraction(1, 16000),
            )
            if lost is None or not lost[0] <= number / 40 < lost[1]:
                packets += audio.encode(frame)
        packets += audio.encode()
        for packet in packets:
            container.mux(packet)
    return path


def seconds_of_tone(wave, rate):
    """Where the tone begins and ends."""
    loud = np.flatnonzero(np.abs(wave) > 0.2)
    return loud[0] / rate, loud[-1] / rate


def test_sound_that_starts_late_is_late(tmp_path):
    path = write_late(tmp_path / "a.mkv", sound_at=1.0)
    begin, end = seconds_of_tone(read_wave(path, rate=16000), 16000)
    assert abs(begin - 1.0) < 0.01
    assert abs(end - 2.0) < 0.01
    # The second from 1 to 2 is all tone.
    assert np.abs(read_wave(path, rate=16000, start=1.0, end=2.0)).reshape(10, -1).max(axis=1).min() > 0.3


def test_sound_and_pictures_count_from_the_first_picture(tmp_path):
    path = write_late(tmp_path / "a.mkv", picture_at=0.6)
    begin, end = seconds_of_tone(read_wave(path, rate=16000), 16000)
    assert begin < 0.01
    assert abs(end - 0.4) < 0.01


def test_lost_sound_is_silence_and_what_follows_keeps_its_time(tmp_path):
    whole = read_wave(write_late(tmp_path / "a.mkv"), rate=16000)
    holed = read_wave(write_late(tmp_path / "b.mkv", lost=(0.25, 0.75)), rate=16000)
    assert np.abs(holed[4100:11900]).max() == 0
    np.testing.assert_allclose(holed[12100:16000], whole[12100:16000], atol=1e-3)


def test_resampling_lets_nothing_through_that_was_not_there():
    rate, new_rate = 16000, 22050
    time = np.arange(2 * rate) / rate
    wave = (0.5 * np.sin(2 * np.pi * 6500 * time)).astype(np.float64)
    found = resample(wave, rate, new_rate)[new_rate // 4 : -new_rate // 4]
    power = np.abs(np.fft.rfft(found * np.blackman(len(found)))) ** 2
    hertz = np.fft.rfftfreq(len(found), 1 / new_rate)
    images = power[np.abs(hertz - 6500) > 100].max() / power.max()
    # SciPy's default filter leaves the image at 9,500 Hz 60 dB down. float32 itself ends near 140 dB.
    assert 10 * np.log10(images) < -100


def test_seven_point_one_is_one_wave_and_kills_nothing(tmp_path):
    """PyAV reads the eighth plane of a planar frame from memory that is not its own."""
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000, layout="7.1")
        wave = np.round(8000 * np.sin(2 * np.pi * 440 * np.arange(48000) / 48000)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.repeat(wave, 8)[None], format="s16", layout="7.1")
        frame.sample_rate, frame.pts = 48000, 0
        resampler = av.AudioResampler(format="fltp", layout="7.1", rate=48000, frame_size=1024)
        for part in resampler.resample(frame):
            container.mux(stream.encode(part))
        container.mux(stream.encode())
    code = f"from counterpoise.data.media import read_wave; print(abs(read_wave({str(path)!r}, rate=16000)).max())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert 0.1 < float(found.stdout) < 0.5


def write_float_wav(path, samples, rate=16000):
    """A WAV file of 32-bit floats, whose header says ``rate``."""
    data = np.asarray(samples, "<f4").tobytes()
    form = struct.pack("<HHIIHH", 3, 1, rate, (rate * 4) & 0xFFFFFFFF, 4, 32)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_sound_that_is_not_numbers_is_named(tmp_path, value):
    samples = np.zeros(16000)
    samples[5000] = value
    with pytest.raises(MediaError, match="NaN or infinite"):
        read_wave(write_float_wav(tmp_path / "a.wav", samples), rate=16000)


@pytest.mark.parametrize("rate", [2147483647, 0xFFFFFFF0, 10])
def test_an_impossible_sampling_rate_is_named_before_memory_is_asked_for(tmp_path, rate):
    with pytest.raises(MediaError):
        read_wave(write_float_wav(tmp_path / "a.wav", np.zeros(1000), rate), rate=16000)


def test_a_whole_video_in_place_of_a_clip_is_named(tmp_path, clip):
    path = clip(tmp_path / "a.mkv", seconds=130.0, fps=1, rate=8000, audio="pcm_s16le")
    with pytest.raises(MediaError, match="longer than 120 s"):
        read_frames(path, fps=1.0, size=(16, 16))
    with pytest.raises(MediaError, match="longer than 120 s"):
        read_wave(path, rate=16000)
    assert len(read_wave(path, rate=16000, end=3.0)) == 48000


def test_a_whole_video_of_which_only_the_start_is_read_is_noted(tmp_path, clip):
    path = clip(tmp_path / "a.mkv", seconds=130.0, fps=1, rate=8000, audio="pcm_s16le")
    faults = []
    assert len(read_frames(path, fps=1.0, size=(16, 16), limit=3, faults=faults)) == 3
    read_wave(path, rate=8000, end=3.0, faults=faults)
    assert faults == [
        f"its {kind} claims to end at 130 s; it may not be the clip itself" for kind in ("picture", "sound")
    ]


def test_a_file_that_is_cut_short_is_used_and_noted(tmp_path, clip):
    path = clip(tmp_path / "a.mkv", seconds=8.0, audio="pcm_s16le")
    faults = []
    read_frames(path, fps=1.0, size=(16, 16), faults=faults)
    read_wave(path, rate=16000, faults=faults)
    assert faults == []
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 2 <= len(read_frames(path, fps=1.0, size=(16, 16), faults=faults)) < 7
    assert read_wave(path, rate=16000, faults=faults).size > 0
    assert len(faults) == 2
    assert all(" of 8." in fault or " of 7.9" in fault for fault in faults)
