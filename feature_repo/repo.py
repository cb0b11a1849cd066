"""What ``feast`` finds when it is run in this folder: the definitions of the workspace that the settings name."""

from feature_repo.definitions import definitions
from tailorbird.settings import load_settings

_definitions = definitions(load_settings().feature_folder)
user = _definitions.user
item = _definitions.item
user_profile = _definitions.user_profile
item_profile = _definitions.item_profile
recommend = _definitions.service
