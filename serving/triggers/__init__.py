"""The delivery of triggers: follows the events, calls subscribers, each at its own pace."""
