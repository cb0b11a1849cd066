"""Who asks, under the names that people have behind the door, and what of their context may be kept of it."""

from collections.abc import Mapping

from serving.http.schemas import Visitor
from tailorbird.features.consent.standing import GIVEN
from tailorbird.privacy.door.clean import CleanContexts
from tailorbird.privacy.door.minimise import parted_context
from tailorbird.privacy.erasure.mentions import SHORT
from tailorbird.privacy.keys.keyring import open_keyring
from tailorbird.privacy.keys.pseudonyms import Pseudonyms
from tailorbird.privacy.policy.policy import PolicyNow, by_default
from tailorbird.privacy.policy.tcf import told_by
from tailorbird.settings import Settings


class Named:
    """Call it with a visitor as the caller names them."""

    def __init__(
        self,
        names: Pseudonyms,
        policy: PolicyNow = by_default,
    ) -> None:
        self._names, self._policy = names, policy
        self._clean = (policy(), CleanContexts(policy().declared))

    @classmethod
    def of(cls, settings: Settings, *, policy: PolicyNow) -> "Named":
        """By the keys of a workspace."""
        return cls(Pseudonyms(open_keyring(settings).pseudonyms), policy)

    def __call__(self, visitor: Visitor) -> Visitor:
        """The visitor under pseudonyms; texts of the context that may be personal are left outside."""
        names = self._names
        known: dict[str, object] = {}
        if visitor.user_id:
            known["user_id"] = names.user(visitor.user_id)
        if visitor.anonymous_id:
            known["anonymous_id"] = names.anonymous(visitor.anonymous_id)
        if visitor.session_id:
            known["session_id"] = names.session(visitor.session_id)
        if visitor.context and not self._is_clean(visitor.context):
            policy = self._policy()
            own = {each for each in (visitor.user_id, visitor.anonymous_id) if each and len(each) >= SHORT}
            context = parted_context(visitor.context, declared=policy.declared, ids=own).kept
            if (said := told_by(visitor.context.get(GIVEN), policy.tcf)) is not None:
                context[GIVEN] = said
            known["context"] = context
        return visitor.model_copy(update=known) if known else visitor

    def _is_clean(self, context: Mapping[str, object]) -> bool:
        """Whether all of a context is kept as it came, as most are."""
        policy, clean = self._clean
        if policy is not (now := self._policy()):
            self._clean = (now, clean := CleanContexts(now.declared))
        return clean.holds(context)
