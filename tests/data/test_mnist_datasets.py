"""CG-MNIST and MultiMNIST, made from the real MNIST files."""

import io
import tarfile

import numpy as np
import pytest

from counterpoise.data import mnist
from counterpoise.data.fetch import fetch_dataset
from counterpoise.data.pairs import nearest
from counterpoise.data.prepare import prepare_dataset
from counterpoise.data.sources import RawFiles
from counterpoise.errors import UserError

TRAIN_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
TEST_COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.fixture(scope="module")
def raw(tmp_path_factory, shared):
    root = tmp_path_factory.mktemp("raw")
    fetch_dataset("cg_mnist", {}, root, mirror=shared / "mirror")
    return root


@pytest.fixture(scope="module")
def cg(tmp_path_factory, raw):
    return prepare_dataset("cg_mnist", {}, raw, tmp_path_factory.mktemp("p") / "cg_mnist.k", "k")


@pytest.fixture(scope="module")
def multi(tmp_path_factory, raw):
    return prepare_dataset("multi_mnist", {}, raw, tmp_path_factory.mktemp("p") / "multi_mnist.k", "k")


# Of the test split. Colours go through a logarithm, whose last bit may differ between machines: left out.
DIGESTS = {
    ("cg_mnist", "gray"): "d6a1ed7d063c2db6e01fa0d2b752c66a725f0b4cb8ac3334a17c3bcee01998d2",
    ("cg_mnist", "digit"): "c18cf80e734c5b7af4d25c78ae05cf855727755c9f2383a03ca2bcb0259bcfb4",
    ("multi_mnist", "image"): "ea4780a67182d12bffd418290e2a7ca0b9ec767ae381b209e85023487bf0161b",
    ("multi_mnist", "right"): "64ebde1188120b94500059a673442f122796bd563aa2d32c3f08cb7cbffcd7c8",
}


def test_arrays_have_the_known_digests(cg, multi):
    for (name, array), digest in DIGESTS.items():
        data = {"cg_mnist": cg, "multi_mnist": multi}[name]
        assert data.manifest["splits"]["test"]["arrays"][array]["sha256"] == digest, (name, array)
        data.verify()


def original(raw, half):
    return mnist.load(RawFiles((raw / "mnist",)), half)


def test_counts_are_those_of_mnist(cg):
    assert cg.class_counts("train", "digit") == TRAIN_COUNTS
    assert cg.class_counts("test", "digit") == TEST_COUNTS
    assert all(entry["published"] for entry in cg.manifest["sources"])


def test_gray_is_mnist_itself_in_its_order(cg, raw):
    images, labels = original(raw, "test")
    np.testing.assert_array_equal(cg.array("test", "gray")[:, 0], images)
    np.testing.assert_array_equal(cg.array("test", "digit"), labels)


def test_the_mean_colour_of_each_digit_is_the_palettes(cg):
    palette = np.array(cg.manifest["settings"]["palette"])
    colours = cg.array("train", "colour").max(axis=(2, 3))
    labels = cg.array("train", "digit")
    for digit in range(10):
        inner = (palette[digit] > 60) & (palette[digit] < 195)
        found = colours[labels == digit].mean(axis=0)
        # Clamping moves the mean of channels near black and white, so only the others are compared.
        np.testing.assert_allclose(found[inner], palette[digit][inner], atol=4)


def test_test_colours_say_nothing_about_the_digit(cg):
    palette = np.array(cg.manifest["settings"]["palette"])
    told = {}
    for split in ("train", "test"):
        colours = cg.array(split, "colour").max(axis=(2, 3)).astype(float)
        nearest_mean = np.linalg.norm(colours[:, None] - palette, axis=2).argmin(axis=1)
        told[split] = (nearest_mean == cg.array(split, "digit")).mean()
    assert told["train"] > 0.55
    assert abs(told["test"] - 0.1) < 0.02


def test_a_larger_variance_ties_colour_less(tmp_path, raw, cg):
    loose = prepare_dataset("cg_mnist", {"variance": 0.05}, raw, tmp_path / "cg_mnist.k", "k")
    spread = [data.array("train", "colour").max(axis=(2, 3)).std(axis=0).sum() for data in (cg, loose)]
    assert spread[1] > spread[0]


def test_a_validation_share_is_taken_from_train_only(tmp_path, raw):
    data = prepare_dataset("cg_mnist", {"val_fraction": 0.1}, raw, tmp_path / "cg_mnist.k", "k")
    shares = np.array(data.class_counts("val", "digit")) / TRAIN_COUNTS
    assert np.abs(shares - 0.1).max() < 1e-3
    assert (data.size("train") + data.size("val"), data.size("test")) == (60000, 10000)
    assert not set(data.ids("train")) & set(data.ids("val"))
    assert all(name.startswith("train/") for name in data.ids("val"))


def test_a_share_of_the_training_images_can_be_left_out(tmp_path, raw):
    data = prepare_dataset("cg_mnist", {"unused_fraction": 0.9}, raw, tmp_path / "cg_mnist.k", "k")
    shares = np.array(data.class_counts("train", "digit")) / TRAIN_COUNTS
    assert np.abs(shares - 0.1).max() < 1e-3
    assert data.size("test") == 10000
    assert set(data.splits) == {"train", "test"}


def authors_file(folder, raw, shuffled=False):
    """Write files laid out and typed like the authors', with colours of our own."""
    data = {}
    for half in ("train", "test"):
        images, labels = original(raw, half)
        data[f"{half}_image"] = (images[..., None] * np.array([0.9, 0.5, 0.2])).astype(np.uint8)
        data[f"{half}_label"] = labels[::-1] if shuffled else labels
    buffer = io.BytesIO()
    np.save(buffer, data, allow_pickle=True)
    with tarfile.open(folder / "mnist_10color_jitter.tar.gz", "w:gz", compresslevel=1) as bundle:
        info = tarfile.TarInfo("mnist_10color_jitter_var_0.030.npy")
        info.size = buffer.tell()
        buffer.seek(0)
        bundle.addfile(info, buffer)


@pytest.mark.slow
def test_the_authors_file_can_be_used_and_its_order_is_checked(tmp_path, raw):
    own = tmp_path / "own"
    own.mkdir()
    for path in (raw / "mnist").iterdir():
        (own / path.name).write_bytes(path.read_bytes())
    settings = {"source": "authors"}
    (tmp_path / "raw/mnist").mkdir(parents=True)
    authors_file(tmp_path / "raw/mnist", raw)
    roots = {"mnist": own}
    fetch_dataset("cg_mnist", settings, tmp_path / "raw", data_roots=roots)
    data = prepare_dataset("cg_mnist", settings, tmp_path / "raw", tmp_path / "cg_mnist.k", "k", data_roots=roots)
    images, _ = original(raw, "test")
    np.testing.assert_array_equal(data.array("test", "colour")[:100, 0], (images[:100] * 0.9).astype(np.uint8))
    for path in (tmp_path / "raw/mnist").iterdir():
        if path.is_file():
            path.unlink()
    (tmp_path / "raw/mnist/mnist_10color_jitter").rename(tmp_path / "gone")
    authors_file(tmp_path / "raw/mnist", raw, shuffled=True)
    fetch_dataset("cg_mnist", settings, tmp_path / "raw", data_roots=roots)
    with pytest.raises(UserError, match="not in the order of MNIST"):
        prepare_dataset("cg_mnist", settings, tmp_path / "raw", tmp_path / "cg_mnist.q", "q", data_roots=roots)


def test_each_left_digit_of_multi_mnist_occurs_once(multi):
    assert multi.class_counts("train", "left") == TRAIN_COUNTS
    assert multi.class_counts("test", "left") == TEST_COUNTS


def test_the_two_digits_of_an_image_differ(multi):
    for split in multi.splits:
        assert (multi.array(split, "left") != multi.array(split, "right")).all()


def test_both_digits_are_of_their_half_of_mnist(multi, raw):
    _, labels = original(raw, "test")
    names = [name.removeprefix("test/").split("-") for name in multi.ids("test")]
    np.testing.assert_array_equal(labels[[int(name[0]) for name in names]], multi.array("test", "left"))
    np.testing.assert_array_equal(labels[[int(name[1]) for name in names]], multi.array("test", "right"))


def test_without_noise_an_image_is_the_brighter_of_two_shifted_digits(tmp_path, raw):
    data = prepare_dataset("multi_mnist", {"noise": 0.0, "size": 36}, raw, tmp_path / "multi_mnist.k", "k")
    images, _ = original(raw, "test")
    left, right = (int(part) for part in data.ids("test")[7].removeprefix("test/").split("-")[:2])
    canvas = np.zeros((36, 36), np.uint8)
    canvas[:28, :28] = images[left]
    canvas[6:34, 6:34] = np.maximum(canvas[6:34, 6:34], images[right])
    np.testing.assert_array_equal(data.array("test", "image")[7, 0], canvas)


def test_noise_replaces_half_of_the_right_half_and_nothing_else(tmp_path, raw, multi):
    clean = prepare_dataset("multi_mnist", {"noise": 0.0}, raw, tmp_path / "multi_mnist.k", "k")
    noisy, pure = multi.array("test", "image")[:, 0], clean.array("test", "image")[:, 0]
    np.testing.assert_array_equal(noisy[:, :, :14], pure[:, :, :14])
    bright = (pure[:, :, 14:] > 0) & (pure[:, :, 14:] < 255)
    assert abs((noisy != pure)[:, :, 14:][bright].mean() - 0.5) < 0.01


def test_nearest_resize_takes_the_pixel_under_the_centre_as_pillow_does():
    from PIL import Image

    picture = np.random.default_rng(0).integers(0, 256, (36, 36)).astype(np.uint8)
    expected = np.asarray(Image.fromarray(picture).resize((28, 28), Image.Resampling.NEAREST))
    np.testing.assert_array_equal(nearest(picture[None], 28)[0], expected)


@pytest.mark.parametrize("offset", [[9, 0], [-1, 0], [6], [6.5, 6]])
def test_an_offset_beyond_the_canvas_is_refused(tmp_path, raw, offset):
    with pytest.raises(UserError, match="offset"):
        prepare_dataset("multi_mnist", {"offset": offset}, raw, tmp_path / "multi_mnist.k", "k")
