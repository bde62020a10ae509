import torch

from babe2.dsp.spectra import fades
from babe2.dsp.tape import MemoryTape
from babe2.recordings.segments import Canvas, agreement, cut, median_level, segment_starts, settled_ends


def test_published_segments_step_by_all_but_the_overlap_and_the_last_hangs_over() -> None:
    assert segment_starts(2500, 1000, 100, last_fits=False) == [0, 900, 1800]
    assert segment_starts(1000, 1000, 100, last_fits=False) == [0]  # exactly one
    assert segment_starts(1001, 1000, 100, last_fits=False) == [0, 900]
    assert segment_starts(400, 1000, 100, last_fits=False) == [0]


def test_a_last_segment_that_fits_ends_with_the_recording() -> None:
    assert segment_starts(2500, 1000, 100, last_fits=True) == [0, 900, 1500]
    assert segment_starts(400, 1000, 100, last_fits=True) == [0]


def test_every_sample_lies_in_a_segment() -> None:
    for length in range(1, 3000, 37):
        for last_fits in (False, True):
            covered = torch.zeros(length)
            for start in segment_starts(length, 500, 50, last_fits=last_fits):
                assert start >= 0
                covered[start : start + 500] = 1
            assert covered.all()


def canvas(channels: int, starts: list[int], length: int, samples: int, layers: int = 1) -> Canvas:
    return Canvas(starts, length, samples, MemoryTape.blank(layers * channels), layers)


def test_pieces_of_one_signal_join_without_a_seam() -> None:
    signal = torch.randn(2, 2500, generator=torch.Generator().manual_seed(0))
    joined = canvas(2, [0, 900, 1800], 1000, 2500)
    for segment in (0, 2, 1):  # the middle one is faded in from both sides
        joined.lay(segment, cut(signal, joined.starts[segment], 1000))
    torch.testing.assert_close(joined.read(0, 2500), signal, atol=1e-6, rtol=0)
    assert joined.settled(0, 2500).all()


def test_a_new_piece_fades_in_over_what_is_settled() -> None:
    joined = canvas(1, [0, 8], 12, 20)
    joined.lay(0, torch.zeros(1, 12))
    joined.lay(1, torch.ones(1, 12))
    found = joined.read(0, 20)[0]
    rise, _ = fades(4, found)
    torch.testing.assert_close(found[8:12], rise)
    assert found[7] == 0 and found[12] == 1


def test_any_stretch_is_the_same_as_in_the_whole() -> None:
    starts, generator = [0, 70, 140, 175], torch.Generator().manual_seed(0)  # the last one overlaps two others
    joined = canvas(2, starts, 100, 275, layers=2)
    for segment in (2, 0, 3, 1):
        joined.lay(segment, *torch.randn(2, 2, 100, generator=generator))
    whole = joined.read(0, 275)
    for start, stop in ((-10, 300), (0, 1), (60, 90), (150, 260), (174, 176), (240, 241)):
        piece = joined.read(start, stop)
        inside = slice(max(start, 0), min(stop, 275))
        assert torch.equal(piece[:, inside.start - start : inside.stop - start], whole[:, inside])
    assert torch.equal(joined.layer(0, 0, 275) + joined.layer(1, 0, 275), whole)


def test_what_was_laid_before_is_recalled_in_its_order() -> None:
    blank, generator = MemoryTape.blank(1), torch.Generator().manual_seed(0)
    first = Canvas([0, 70, 140], 100, 240, blank)
    for segment in (0, 2, 1):
        first.lay(segment, torch.randn(1, 100, generator=generator))
    second = Canvas([0, 70, 140], 100, 240, blank)
    for segment in (0, 2, 1):
        second.recall(segment)
    assert torch.equal(second.read(0, 240), first.read(0, 240))


def test_segments_in_agreement_are_one_where_they_overlap() -> None:
    x = torch.randn(6, 5 + 100 + 5, generator=torch.Generator().manual_seed(0))  # three segments of two channels
    agreed = agreement([0, 80, 160], 100, margin=5, channels=2)(x).unflatten(0, (3, 2))
    assert torch.equal(agreed[0, :, 85:105], agreed[1, :, 5:25])
    assert torch.equal(agreed[1, :, 85:105], agreed[2, :, 5:25])
    assert torch.equal(agreed[1, :, 25:85], x.unflatten(0, (3, 2))[1, :, 25:85])
    alone = agreement([0], 100, margin=5, channels=2)
    assert alone(x[:2]) is not None and torch.equal(alone(x[:2]), x[:2])


def test_halves_of_the_fade_sum_to_one() -> None:
    rise, fall = fades(137, torch.zeros(1))
    torch.testing.assert_close(rise + fall, torch.ones(137))
    assert rise[0] == 0 and fall[0] == 1


def test_settled_ends_counts_from_both_sides() -> None:
    assert settled_ends(torch.tensor([1, 1, 0, 0, 1.0])) == (2, 1)
    assert settled_ends(torch.zeros(5)) == (0, 0)
    assert settled_ends(torch.ones(5)) == (5, 0)


def test_the_typical_level_is_the_lower_median_per_channel() -> None:
    deviations = [[1.0 * k, 10.0 * k] for k in (1, 2, 3, 4)]
    torch.testing.assert_close(median_level(deviations), torch.tensor([2.0, 20.0]))
