import torch

from babe2.segments import Canvas, cut, fades, median_level, segment_starts, settled_ends


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


def test_pieces_of_one_signal_join_without_a_seam() -> None:
    signal = torch.randn(2, 2500, generator=torch.Generator().manual_seed(0))
    # 0 and 1800 first: the middle one is then faded in from both sides.
    canvas = Canvas(2, 2800, like=signal)
    for start in (0, 1800, 900):
        canvas.lay(cut(signal, start, 1000), start)
    torch.testing.assert_close(canvas.audio[:, :2500], signal, atol=1e-6, rtol=0)
    assert canvas.settled.all()


def test_a_new_piece_fades_in_over_what_is_settled() -> None:
    canvas = Canvas(1, 20, like=torch.zeros(1))
    canvas.lay(torch.zeros(1, 12), 0)
    canvas.lay(torch.ones(1, 12), 8)
    joined = canvas.audio[0]
    rise, _ = fades(4, joined)
    torch.testing.assert_close(joined[8:12], rise)
    assert joined[7] == 0 and joined[12] == 1


def test_halves_of_the_fade_sum_to_one() -> None:
    rise, fall = fades(137, torch.zeros(1))
    torch.testing.assert_close(rise + fall, torch.ones(137))
    assert rise[0] == 0 and fall[0] == 1


def test_settled_ends_counts_from_both_sides() -> None:
    assert settled_ends(torch.tensor([1, 1, 0, 0, 1.0])) == (2, 1)
    assert settled_ends(torch.zeros(5)) == (0, 0)
    assert settled_ends(torch.ones(5)) == (5, 0)


def test_the_typical_level_is_the_lower_median_per_channel() -> None:
    pieces = [torch.tensor([[0.0, 2.0], [0.0, 20.0]]) * k for k in (1, 2, 3, 4)]
    torch.testing.assert_close(median_level(pieces), torch.tensor([2.0, 20.0]) * 2**0.5)
