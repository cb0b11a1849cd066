"""Who asks, under the names that people have behind the door, and what of their context may be kept of it."""

from collections.abc import Mapping

from serving.http.schemas import Visitor
from serving.recommend.request.visit import Who
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

    def __call__(self, visitor: Visitor) -> Who:
        """Who it is under pseudonyms; texts of the context that may be personal are left outside."""
        names, user, anonymous = self._names, visitor.user_id, visitor.anonymous_id
        session = visitor.session_id
        context: Mapping[str, object] = visitor.context or {}
        if context and not self._is_clean(context):
            policy = self._policy()
            own = {each for each in (user, anonymous) if each and len(each) >= SHORT}
            kept = parted_context(context, declared=policy.declared, ids=own).kept
            if (said := told_by(context.get(GIVEN), policy.tcf)) is not None:
                kept[GIVEN] = said
            context = kept
        return Who(
            names.user(user) if user else None,
            names.anonymous(anonymous) if anonymous else None,
            names.session(session) if session else None,
            context,
        )

    def _is_clean(self, context: Mapping[str, object]) -> bool:
        """Whether all of a context is kept as it came, as most are."""
        policy, clean = self._clean
        if policy is not (now := self._policy()):
            self._clean = (now, clean := CleanContexts(now.declared))
        return clean.holds(context)
