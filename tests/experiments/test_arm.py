"""Arms: what is declared is what answers, and a slip in the file is named."""

import pytest

from tailorbird.errors import UsageError
from tailorbird.experiments.arm import CHAMPION_ARM, Arm, SlateSettings
from tailorbird.experiments.declared import read_arms
from tailorbird.slate.exploration import Exploration
from tailorbird.slate.query import Rules
from tests.slate import toy


def declared(folder, text):
    path = folder / "arms.toml"
    path.write_text(text, "utf-8")
    return read_arms(path)


def shown(slate: SlateSettings, **wishes) -> list[str]:
    answer = slate.applied_to(toy.recommender()).recommend(toy.query(("view", "i0"), k=6, **wishes))
    return [item.item_id for item in answer.items]


def test_without_a_file_the_champion_is_alone(tmp_path):
    assert read_arms(tmp_path / "arms.toml") == (CHAMPION_ARM,)


def test_the_champion_is_first_wherever_it_stands_in_the_file(tmp_path):
    arms = declared(
        tmp_path,
        """
        [variety]
        alias = "champion"
        max_category_share = 0.34
        keep_seen = true
        depth = 50
        rules = {categories = ["tea"], max_price = 9}
        [challenger]
        [champion]
        depth = 300
        """,
    )
    assert arms == (
        Arm("champion", "champion", SlateSettings(depth=300)),
        Arm("variety", "champion", SlateSettings(50, 0.34, True, Rules(("tea",), max_price=9.0))),
        Arm("challenger", "challenger"),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[b]\ndepht = 5", "b.depht"),
        ("[b]\ndepth = 0", "b.depth"),
        ("[b]\nmax_category_share = 1.5", "b.max_category_share"),
        ("[b]\nkeep_seen = 1", "b.keep_seen"),
        ("[b.rules]\nbrand = ['x']", "b.rules.brand"),
        ("[b.exploration]\nuniform = 0.6\nsoftmax = 0.5", "add up to 1.1"),
        ("[b.exploration]\nepsilon = 0.1", "b.exploration.epsilon"),
        ("[b.exploration]\ntemperature = 0", "b.exploration.temperature"),
        ("[b.rules]\nmin_price = nan", "b.rules.min_price"),
        ("[B]", "B"),
        ("b = 3", "b"),
        ("[b", "cannot be read"),
        ("\n".join(f"[b{n}]" for n in range(40)), "40 arms"),
    ],
)
def test_a_slip_is_named_with_its_remedy(tmp_path, text, words):
    with pytest.raises(UsageError, match=words) as refused:
        declared(tmp_path, text)
    assert "docs/arms.md" in refused.value.remedy


def test_a_file_of_other_bytes_is_refused(tmp_path):
    (tmp_path / "arms.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="cannot be read"):
        read_arms(tmp_path / "arms.toml")


def test_settings_change_the_slate_and_absent_ones_leave_the_recipe():
    assert shown(SlateSettings()) == ["i1", "i2", "i4", "i5", "i6", "i7"]
    assert shown(SlateSettings(keep_seen=True))[0] == "i0"
    assert shown(SlateSettings(max_category_share=0.1)) == ["i1", "i2", "i4", "i5", "i8", "i9"]
    assert shown(SlateSettings(rules=Rules(("pots",)))) == ["i8", "i9", "i10", "i11"]


def test_an_arm_explores_as_its_table_says(tmp_path):
    (champion,) = declared(
        tmp_path, "[champion.exploration]\nuniform = 0.05\nnewcomers = 0.1\nfirst_place = 3"
    )
    assert champion.slate.exploration == Exploration(uniform=0.05, newcomers=0.1, first_place=3)
    served = champion.slate.applied_to(toy.recommender())
    assert served.policy.exploration.share == pytest.approx(0.15)
    assert len(served.newcomers) == 3


def test_the_rules_of_an_arm_and_of_the_caller_both_hold_and_name_their_reason():
    dressed = SlateSettings(rules=Rules(("pots",))).applied_to(toy.recommender())
    slate = dressed.recommend(toy.query(k=12, rules=Rules(max_price=10)))
    assert [item.item_id for item in slate.items] == ["i8", "i9", "i10"]
    reasons = {part.reason: part.count for part in slate.removed}
    assert reasons == {"out_of_stock": 1, "rule": 1, "arm_rule": 7}
