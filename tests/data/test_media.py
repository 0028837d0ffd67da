"""Decoding: the right frames and the right sound, whatever the container does."""

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
        (b"<html><body>quota exceeded</body></html>", "not a media file"),
    ],
)
def test_what_is_no_clip_is_named(tmp_path, content, message):
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=message):
        read_frames(path, fps=1.0, size=(16, 16))
    with pytest.raises(MediaError, match=message):
        read_wave(path, rate=16000)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MediaError, match="missing"):
        read_frames(tmp_path / "a.mp4", fps=1.0, size=(16, 16))


def test_a_window_behind_the_end_is_said(tmp_path, clip):
    path = clip(tmp_path / "a.mkv", seconds=1.0)
    with pytest.raises(MediaError, match="over before 5 s"):
        read_frames(path, fps=1.0, size=(16, 16), start=5.0, end=6.0)
    with pytest.raises(MediaError, match="over before 5 s"):
        read_wave(path, rate=16000, start=5.0, end=6.0)
