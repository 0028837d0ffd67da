"""Batches: the order that was asked for, the same numbers from memory and from disk, draws from one stream."""

import numpy as np
import pytest
import torch

from counterpoise.data import memory
from counterpoise.data.batches import ResidentBatches, StreamedBatches, open_batches
from counterpoise.data.memory import FloatMemory
from counterpoise.data.prepared import PreparedData
from counterpoise.data.store import ArrayStore
from counterpoise.data.transforms import InputTransform

N = 23
COUNTS = np.array([1 + number % 5 for number in range(N)])
KINDS = [ResidentBatches, StreamedBatches]


@pytest.fixture(scope="module", params=[False, True], ids=["channels first", "channels last"])
def data(tmp_path_factory, request):
    random = np.random.default_rng(0)
    store = ArrayStore(tmp_path_factory.mktemp("d") / "toy.k", dataset="toy", key="k", settings={})
    store.modality(
        "video",
        shape=(5, 3, 20, 30),
        dtype="uint8",
        mean=[0.4, 0.5, 0.6],
        std=[0.2, 0.3, 0.4],
        channels_last=request.param,
    )
    store.modality("wave", shape=(40,), dtype="int16")
    store.modality("spectrum", shape=(1, 6, 7), dtype="float32", mean=[2.0], std=[3.0])
    store.extra("video_frames")
    store.target("label", names=["a", "b"])
    store.dense_target("mask", kind="segmentation", shape=(4, 4), dtype="int8", classes=3)
    with store:
        # Every frame's first channel is its own number, so that chosen frames can be told.
        video = random.integers(0, 256, (N, 5, 3, 20, 30)).astype(np.uint8)
        video[:, :, 0] = np.arange(5, dtype=np.uint8)[None, :, None, None]
        store.append(
            "train",
            [str(number) for number in range(N)],
            video=video,
            wave=random.integers(-32768, 32768, (N, 40)).astype(np.int16),
            spectrum=random.normal(size=(N, 1, 6, 7)).astype(np.float32),
            video_frames=COUNTS,
            label=np.arange(N) % 2,
            mask=random.integers(-1, 3, (N, 4, 4)).astype(np.int8),
        )
    return PreparedData.open(store.destination)


CROP = InputTransform(frames=2, random_frames=True, size=(8, 10), crop_scale=(0.2, 1.0), flip=0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_batches_come_in_the_order_given(data, kind):
    order = torch.randperm(N, generator=torch.Generator().manual_seed(1))
    found = list(kind(data, "train").batches(order, 5))
    assert [len(index) for _, _, index in found] == [5, 5, 5, 5, 3]
    assert torch.equal(torch.cat([index for _, _, index in found]), order)
    labels = torch.cat([targets["label"] for _, targets, _ in found])
    assert torch.equal(labels, order % 2)
    assert labels.dtype == torch.int64


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_scaled_then_normalised_per_channel(data, kind):
    inputs, targets, _ = next(kind(data, "train").batches(torch.arange(4), 4))
    video = torch.from_numpy(np.array(data.array("train", "video")[:4])) / 255
    mean, std = torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1), torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1)
    torch.testing.assert_close(inputs["video"], (video - mean) / std)
    torch.testing.assert_close(inputs["wave"], torch.from_numpy(data.array("train", "wave")[:4] / 32768.0).float())
    spectrum = torch.from_numpy(np.array(data.array("train", "spectrum")[:4]))
    torch.testing.assert_close(inputs["spectrum"], (spectrum - 2) / 3)
    assert targets["mask"].dtype == torch.int64
    assert targets["mask"].min() == -1


@pytest.mark.parametrize("transform", [None, CROP, CROP.for_evaluation()])
def test_streamed_and_resident_batches_are_bit_equal(data, transform):
    transforms = {} if transform is None else {"video": transform}
    order = torch.randperm(N, generator=torch.Generator().manual_seed(2))
    runs = []
    for kind in KINDS:
        generator = torch.Generator().manual_seed(3)
        runs.append(list(kind(data, "train", transforms=transforms).batches(order, 4, generator)))
    for (inputs, targets, index), (inputs2, targets2, index2) in zip(*runs, strict=True):
        assert torch.equal(index, index2)
        for one, other in ((inputs, inputs2), (targets, targets2)):
            assert one.keys() == other.keys()
            assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("transform", [None, CROP, CROP.for_evaluation()])
@pytest.mark.parametrize("kind", KINDS)
def test_batches_that_are_kept_stay_as_they_were(data, kind, transform, monkeypatch):
    monkeypatch.setattr(memory, "SMALL_BYTES", 0)
    batches = kind(data, "train", transforms={} if transform is None else {"video": transform})

    def epoch():
        return batches.batches(torch.arange(N), 4, torch.Generator().manual_seed(3))

    copies = [{name: values.clone() for name, values in inputs.items()} for inputs, _, _ in epoch()]
    kept = list(epoch())
    for (inputs, _, _), expected in zip(kept, copies, strict=True):
        assert all(torch.equal(inputs[name], expected[name]) for name in expected)


def test_memory_comes_back_only_when_nothing_refers_to_it(monkeypatch):
    monkeypatch.setattr(memory, "SMALL_BYTES", 0)
    lender = FloatMemory()
    first = lender.empty((4, 3)).fill_(2.0)
    place = first.data_ptr()
    view, weight = first[1:], torch.ones(3, requires_grad=True)
    loss = (first * weight).sum()
    del first
    assert lender.empty((4, 3)).data_ptr() != place
    del view
    # What autograd has saved counts too.
    assert lender.empty((4, 3)).data_ptr() != place
    loss.backward()
    assert torch.equal(weight.grad, torch.full((3,), 8.0))
    del loss
    assert lender.empty((2, 3)).data_ptr() == place


def test_pictures_that_are_always_shown_alike_are_made_once(data, monkeypatch):
    from counterpoise.data import transforms

    batches = ResidentBatches(data, "train", transforms={"video": CROP.for_evaluation()})
    some = torch.tensor([5, 2])
    first = next(batches.batches(some, 2))[0]["video"]
    monkeypatch.setattr(transforms, "crop_one", lambda *_: pytest.fail("made again"))
    again = next(batches.batches(some.flip(0), 2))[0]["video"]
    assert torch.equal(again, first.flip(0))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_generator_state_gives_the_same_augmentation(data, kind):
    batches = kind(data, "train", transforms={"video": CROP})
    first, again, other = (
        next(batches.batches(torch.arange(4), 4, torch.Generator().manual_seed(seed)))[0]["video"] for seed in (5, 5, 6)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def shown_frames(data, kind, transform, seed=0):
    """Return the stored numbers (N, T) of the frames that were shown."""
    generator = torch.Generator().manual_seed(seed)
    batches = kind(data, "train", transforms={"video": transform})
    video = torch.cat([inputs["video"] for inputs, _, _ in batches.batches(torch.arange(N), 6, generator)])
    return ((video[:, :, 0].mean(dim=(2, 3)) * 0.2 + 0.4) * 255).round().long()


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_shows_the_middle_of_each_segment(data, kind):
    shown = shown_frames(data, kind, InputTransform(frames=2))
    expected = [[0, 0], [0, 1], [0, 2], [1, 3], [1, 3]]
    assert shown.tolist() == [expected[count - 1] for count in COUNTS]


@pytest.mark.parametrize("kind", KINDS)
def test_training_shows_every_real_frame_and_no_other(data, kind):
    transform = InputTransform(frames=2, random_frames=True)
    shown = torch.cat([shown_frames(data, kind, transform, seed) for seed in range(40)], dim=1)
    for count, frames in zip(COUNTS, shown, strict=True):
        assert set(frames.tolist()) == set(range(count))


def test_an_index_outside_the_split_is_refused(data):
    for kind in KINDS:
        with pytest.raises(IndexError, match="23 samples"):
            next(kind(data, "train").batches(torch.tensor([0, N]), 2))


def test_an_abandoned_stream_stops_its_threads(data):
    import threading

    stream = StreamedBatches(data, "train").batches(torch.arange(N), 2)
    next(stream)
    stream.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_an_error_while_reading_reaches_the_caller(data, monkeypatch):
    batches = StreamedBatches(data, "train")
    monkeypatch.setattr(batches, "_gather", lambda *_: (_ for _ in ()).throw(OSError("disk gone")))
    with pytest.raises(OSError, match="disk gone"):
        next(batches.batches(torch.arange(N), 4))


def test_small_data_stays_on_the_device_and_large_data_streams(data):
    assert isinstance(open_batches(data, "train"), ResidentBatches)
    assert isinstance(open_batches(data, "train", share=0.0), StreamedBatches)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", KINDS)
def test_the_device_gets_the_numbers_of_the_cpu(data, kind):
    order = torch.arange(N)
    for (inputs, targets, _), (inputs2, targets2, _) in zip(
        kind(data, "train", "cpu", {"video": CROP}).batches(order, 4, torch.Generator().manual_seed(0)),
        kind(data, "train", "cuda", {"video": CROP}).batches(order, 4, torch.Generator().manual_seed(0)),
        strict=True,
    ):
        for name, values in inputs.items():
            # Cropped pictures may differ by one level of 255, over the smallest standard deviation.
            torch.testing.assert_close(inputs2[name].cpu(), values, atol=1.01 / 255 / 0.2, rtol=0)
        assert all(torch.equal(targets[name], targets2[name].cpu()) for name in targets)
