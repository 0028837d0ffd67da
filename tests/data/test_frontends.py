"""Front-ends: the shapes that the papers' code expects, and the numbers of independent libraries."""

import numpy as np
import pytest
import torch
from scipy import signal

from counterpoise.data.frontends import fbank, frontend, log_stft, pad, raw_wave, spectrogram, tile

SHAPES = {
    "ogm": (1, 257, 188),
    "fbank": (1, 128, 1024),
    "pmr": (1, 257, 1004),
    "pmr_raw": (1, 257, 1004),
    "stft16": (1, 257, 136),
    "wave": (48000,),
}


def sound(samples, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("seconds", [0.4, 2.5, 12.0])
def test_every_length_of_sound_gives_the_published_shape(name, seconds):
    front_end = frontend(name)
    result = front_end(sound(round(seconds * front_end.rate)))
    assert result.shape == SHAPES[name]
    assert result.dtype == np.dtype(front_end.dtype)
    assert np.isfinite(result.astype(float)).all()


def test_log_stft_has_the_numbers_of_torch():
    wave = sound(66150)
    expected = torch.stft(
        torch.from_numpy(wave),
        512,
        hop_length=353,
        window=torch.hann_window(512),
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    expected = torch.log(expected.abs() + 1e-7)
    np.testing.assert_allclose(log_stft(wave, 22050)[0], expected.numpy(), atol=2e-3)


def test_spectrogram_has_the_numbers_of_scipy():
    wave = sound(160000)
    expected = np.log(np.abs(signal.spectrogram(wave, 16000, nperseg=512, noverlap=353)[2]) + 1e-7)
    np.testing.assert_allclose(spectrogram(wave, 16000)[0], expected, atol=1e-5)


def test_a_standardised_clip_has_mean_zero_and_deviation_one():
    result = frontend("pmr")(sound(30000))
    assert abs(result.mean()) < 1e-5
    assert abs(result.std() - 1) < 1e-5


def test_filter_bank_padding_is_the_scaled_zero_of_the_released_extractor():
    result = fbank(sound(16000), 16000)
    np.testing.assert_allclose(result[0, :, 1000], 4.503877 / (2 * 5.141276), rtol=1e-6)
    assert result[0, :, :90].std() > 0.01


def test_filter_bank_does_not_depend_on_the_waves_mean():
    wave = sound(16000)
    np.testing.assert_allclose(fbank(wave + 0.2, 16000), fbank(wave, 16000), atol=1e-3)


def test_a_tone_is_found_in_its_filter():
    time = np.arange(32000) / 16000
    result = fbank((0.3 * np.sin(2 * np.pi * 1000 * time)).astype(np.float32), 16000)
    mel = 1127 * np.log(1 + np.array([20.0, 1000.0, 8000.0]) / 700)
    expected = (mel[1] - mel[0]) / (mel[2] - mel[0]) * 129 - 1
    assert abs(result[0, :, 100].argmax() - expected) <= 1


def test_tiling_repeats_from_the_start_and_padding_is_silence():
    wave = np.array([1, 2, 3], np.float32)
    assert tile(wave, 7).tolist() == [1, 2, 3, 1, 2, 3, 1]
    assert pad(wave, 5).tolist() == [1, 2, 3, 0, 0]
    assert tile(wave, 2).tolist() == pad(wave, 2).tolist() == [1, 2]


def test_a_sixteen_bit_wave_survives_unchanged():
    stored = np.random.default_rng(0).integers(-32768, 32768, 1000).astype(np.int16)
    np.testing.assert_array_equal(raw_wave(stored.astype(np.float32) / 32768, 16000), stored)


def test_sound_beyond_full_scale_is_clipped():
    loud = frontend("wave", 0.01)(np.full(160, 1.7, np.float32))
    assert (loud == 32767).all()


def test_length_can_be_set():
    assert frontend("ogm", 1.0).shape == (1, 257, 1 + 22050 // 353)
    assert frontend("wave", 5.0)(sound(1000)).shape == (80000,)
