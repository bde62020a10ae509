"""Every setting in listeners' words, with the letter it has in the paper."""

from __future__ import annotations

from typing import NamedTuple


class Words(NamedTuple):
    label: str
    hint: str  # what turning it up does; the paper's symbol last


PRESETS = {
    "standard": "Standard: the best sound per second",
    "draft": "Draft: hear in moments where it goes",
    "paper": "As published: for researchers, slow, mono",
}

# Groups as a page shows them; every setting (config.Settings) stands in one of them.
GLOSSARY: dict[str, dict[str, Words]] = {
    "How it is sampled": {
        "solver": Words(
            "Way of following",
            "guided: by a pull (paper); closed-form: weighed up at each step; bandwise: piano-small's",
        ),
        "steps": Words("Steps", "More take longer and sound a little finer (T)"),
        "order": Words("Order of a step", "2 looks twice at every step (Heun), 1 once (Euler)"),
        "sigma_start": Words("Noise to begin with", "More gives the model more freedom from the recording (σ_start)"),
        "sigma_min": Words("Last noise", "Where the steps end (σ_min)"),
        "sigma_max": Words("Highest noise", "Where music out of nothing begins (σ_max)"),
        "rho": Words("Crowding of steps", "More: more of the steps at little noise (ρ)"),
        "churn": Words("Fresh noise", "Stirred in on the way; corrects mistakes, loses some sharpness (S_churn)"),
        "churn_noise": Words("Strength of fresh noise", "A factor, usually 1 (S_noise)"),
        "churn_min": Words("No fresh noise below", "This noise level (S_tmin)"),
        "churn_max": Words("No fresh noise above", "This noise level (S_tmax)"),
    },
    "How closely the recording is followed": {
        "guidance_strength": Words("Pull towards the recording", "More is truer to it, and to its faults (ξ)"),
        "guidance_length": Words(
            "Length the pull is measured for", "Samples; the training segment of the checkpoint (N)"
        ),
        "observation_noise": Words("Tolerance for noise", "More forgives noise and distortion of the recording (γ)"),
        "level": Words("Level inside", "To which a segment is brought before sampling (σ_norm)"),
        "keep_low_band": Words("Keep the lowest bass", "What lies below the model's band stays as recorded"),
    },
    "The old machine's equalizer": {
        "filter_fft": Words("Resolution", "Samples of an FFT frame (NFFT)"),
        "filter_min_hz": Words("Lowest breakpoint", "Hz (f_min)"),
        "filter_max_hz": Words("Highest breakpoint", "Hz (f_max)"),
        "filter_iterations": Words("Rounds of fitting", "At most, in each evaluation (M)"),
        "filter_learning_rate": Words("Speed of fitting", "Faster finds it sooner and swings more (lr)"),
        "filter_clip": Words("Limit of one round", "The gradient's norm"),
        "filter_tolerance_hz": Words("Rest when breakpoints move less than", "Hz"),
        "filter_tolerance_db": Words("Rest when slopes move less than", "dB"),
        "filter_weighting": Words("Which frequencies count", "none, linear, sqrt, log, quadratic, cubic or squared"),
        "reference_hz": Words("Where it is 0 dB", "Hz; between the breakpoints below and above (f_0)"),
        "breakpoints_above_hz": Words("Breakpoints above, to begin with", "Hz, ascending, with commas (f_+)"),
        "breakpoints_below_hz": Words("Breakpoints below, to begin with", "Hz, descending, with commas (f_-)"),
        "slope_limit_db": Words("Steepest slope within the band", "dB per octave (A_max)"),
        "outer_slope_db": Words("Slope where the band ends", "dB per octave (A_lim)"),
        "collapse_weight": Words("How hard breakpoints keep apart", "(λ)"),
        "collapse_decay": Words("How near is too near", "Per Hz (β)"),
    },
    "Average spectrum (LTAS)": {
        "ltas": Words("Use of the average spectrum", "off; init: to begin with; objective: as what is followed"),
        "ltas_fft": Words("Its resolution", "Samples; as stored in the checkpoint"),
        "ltas_floor_db": Words("Most that a band is raised", "dB, negative"),
    },
    "Long recordings": {
        "segment_length": Words("Segment", "Samples at the model's rate that are restored at once"),
        "overlap": Words("Overlap", "Of a segment, that neighbours share"),
        "mode": Words("One equalizer for all", "time-invariant; autoregressive finds one in each segment"),
        "blind_segments": Words("Segments it is found on", "When time-invariant"),
        "as_published": Words("The published program's quirks", "true keeps its numeric defects; for researchers"),
    },
}
