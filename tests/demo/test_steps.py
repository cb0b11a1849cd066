"""The steps of a demo that comes again: what the gates refuse does not end it."""

import pytest

from registry.versions import Registry
from tailorbird.demo.steps import Step, prepare
from tailorbird.errors import TailorbirdError


@pytest.mark.slow
def test_a_demo_goes_on_with_the_version_it_has_where_the_gates_refuse_the_new_one(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Version 2 is worse than version 1, which is champion."""
    settings = registry.settings
    monkeypatch.setenv("TAILORBIRD_HOME", str(settings.home))
    monkeypatch.setenv("TAILORBIRD_MLRUNS", str(settings.mlruns))
    registry.point("champion", 1)
    own = settings.model_copy(update={"home": settings.mlruns.parent / "home"})
    own.folder.mkdir(parents=True)
    prepare([Step("promote", ("promote", "--workspace", "test", "--version", "2"))], own, None)
    assert registry.aliases() == {"champion": 1}
    assert "the gates keep the version that serves now" in capfd.readouterr().err
    with pytest.raises(TailorbirdError, match="ended with exit code 1"):
        prepare([Step("promote", ("promote", "--workspace", "test", "--version", "9"))], own, None)
