"""Names and slugs: every study has an address, whatever name Optuna allowed."""

from hypothesis import example, given
from hypothesis import strategies as st

from optunapi.engine.names import NAME, slug_of


@given(st.from_regex(NAME, fullmatch=True))
def test_a_legal_name_is_its_own_slug(name: str) -> None:
    assert slug_of(name) == name


@given(st.text())
@example("")
@example("..")
@example("a/b")
@example("a" * 129)
@example("\ud800")
def test_a_slug_is_a_legal_name_that_never_changes(name: str) -> None:
    slug = slug_of(name)
    assert NAME.fullmatch(slug)
    assert slug_of(name) == slug
    assert slug_of(slug) == slug


def test_a_slug_can_be_read() -> None:
    assert slug_of("my study/3").startswith("my-study-3-")
    assert slug_of("日本語").startswith("study-")


@given(st.lists(st.text(max_size=5), unique=True))
def test_names_that_differ_have_slugs_that_differ(names: list[str]) -> None:
    assert len({slug_of(name) for name in names}) == len(names)
