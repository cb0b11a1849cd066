"""Who asks, under the names that people have behind the door, and what of their context may be kept of it."""

from serving.http.schemas import Visitor
from tailorbird.privacy.keyring import open_keyring
from tailorbird.privacy.mentions import SHORT
from tailorbird.privacy.minimise import NOTHING_DECLARED, Declared, parted_context
from tailorbird.privacy.policy import read_policy
from tailorbird.privacy.pseudonyms import Pseudonyms
from tailorbird.settings import Settings


class Named:
    """Call it with a visitor as the caller names them."""

    def __init__(self, names: Pseudonyms, declared: Declared = NOTHING_DECLARED) -> None:
        self._names, self._declared = names, declared

    @classmethod
    def of(cls, settings: Settings) -> "Named":
        """By the keys and the policy of a workspace."""
        return cls(Pseudonyms(open_keyring(settings).pseudonyms), read_policy(settings).declared)

    def __call__(self, visitor: Visitor) -> Visitor:
        """The visitor under pseudonyms; texts of the context that may be personal are left outside."""
        names = self._names
        own = {each for each in (visitor.user_id, visitor.anonymous_id) if each and len(each) >= SHORT}
        known: dict[str, object] = {}
        if visitor.user_id:
            known["user_id"] = names.user(visitor.user_id)
        if visitor.anonymous_id:
            known["anonymous_id"] = names.anonymous(visitor.anonymous_id)
        if visitor.session_id:
            known["session_id"] = names.session(visitor.session_id)
        if visitor.context:
            known["context"] = parted_context(visitor.context, declared=self._declared, ids=own).kept
        return visitor.model_copy(update=known) if known else visitor
