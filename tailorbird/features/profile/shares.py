"""Shares of a device's profile: what one person did under an anonymous id that others used, too, and what they allowed there."""

from dataclasses import replace

from tailorbird.catalog.keys import stable_key
from tailorbird.features.consent.consents import Consents
from tailorbird.features.consent.links import NO_LINKS
from tailorbird.features.profile.state import UserState
from tailorbird.features.profile.within import within


def share_of(device: UserState, user_key: str) -> UserState:
    """What of a device's profile is a user's: all of it where nobody else had the device between their events."""
    handovers = device.links.handovers
    if not handovers:
        return device
    return replace(within(device, handovers.turns_of(stable_key(user_key))), links=NO_LINKS)


def consents_on(device: UserState, user_key: str) -> Consents:
    """The words that a user said under a device's anonymous id: others' turns are others' words."""
    said, handovers = device.links.consents, device.links.handovers
    return said.within(handovers.turns_of(stable_key(user_key))) if said and handovers else said


def own_turn(device: UserState) -> UserState:
    """What of a device's profile is of whoever has it now; another key's profile is as it is."""
    handovers = device.links.handovers
    if not handovers:
        return device
    turn = handovers.turn_now()
    found, said = within(device, [turn]), device.links.consents
    return replace(found, links=replace(found.links, consents=said.within([turn]))) if said else found
