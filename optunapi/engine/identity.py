"""Which study it is: the uid that tells a study from all others that had, or will have, its name."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

from optunapi.engine.store import Store

IDENTITY = "optunapi:identity"

NewId = Callable[[], str]


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A study's uid, and the name in URLs under which it is served. Stored as a system attribute."""

    uid: str
    name: str


def identify(store: Store, study_id: int, name: str, new_id: NewId) -> str:
    """The study's uid. A study without one, which Optuna or an older server made, gets one now.

    A copy of a study, of its file or by `optunapi.copy_study`, has the uid of the original. A copy that is
    served under another name gets its own: what its trials and those of the original become differs.
    """
    with store.unit():
        stored = store.get_study_system_attrs(study_id).get(IDENTITY)
        if isinstance(stored, dict) and stored.get("name") == name:
            return str(stored["uid"])
        identity = Identity(uid=new_id(), name=name)
        store.set_study_system_attr(study_id, IDENTITY, asdict(identity))
    return identity.uid


def stored_uid(store: Store, study_id: int) -> str | None:
    """The uid that is stored with the study. Raises KeyError if there is no such study."""
    stored = store.get_study_system_attrs(study_id).get(IDENTITY)
    return stored.get("uid") if isinstance(stored, dict) else None
