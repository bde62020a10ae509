"""An entry of a manifest, as several tests write it."""

from __future__ import annotations

REPOSITORY = "{repo: me/my-piano, revision: 0123456789abcdef0123456789abcdef01234567, file: model.safetensors}"
ADDRESS = "url: http://localhost/my-piano.pt"


def manifest_entry(*sources: str, name: str = "my-piano") -> str:
    """The YAML of an entry with nothing wrong in it, and these sources."""
    listed = "".join(f"\n    - {source}" for source in sources or (REPOSITORY, ADDRESS))
    return f"""
{name}:
  title: Mine
  description: My own piano.
  sources:{listed}
  sha256: null
  bytes: null
  sample_rate: 22050
  segment: 45056
  settings: compact
  parameters: 4000000
  licence: CC BY 4.0
  credit: me
  training_data: my recordings
  intended: my piano
"""
