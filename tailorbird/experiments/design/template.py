"""What ``tailorbird experiment new`` writes: a declaration to fill in, every key with what it means."""

TEMPLATE = """# Experiment {key}. docs/experiments-launch.md says what each key means; `tailorbird experiment check {key}` says what it is worth.
hypothesis = "What you believe, and why: who will do what more, or less."
unit = "person"        # or anonymous, session: what is assigned, and counted
share = 0.1            # of its layer's units, at the start; `tailorbird experiment ramp {key} SHARE` changes it
# layer = "slates"     # experiments of one layer exclude each other; by default it has one of its own
days = 14              # planned length: whole weeks, so that weekends count as often as they come

[metrics]
primary = "clicks_per_slate"   # decides; docs/metrics.md lists those that ship
minimum_effect = 0.05       # the smallest lift worth finding: 0.05 is five per cent
guardrails = ["hides"]      # must not become worse; or {{metric = "latency", margin = 0.1}}
others = []                 # looked at, decide nothing

# [audience]                # everybody, without it
# segments = ["cooks"]      # keys of learned segments or written rules: any of these
# scenarios = ["home"]
# context = {{device = ["mobile", "tablet"]}}

[variants.control]          # the first is control: what is left out is the champion's

[variants.b]                # weights are equal, or add up to 1: weight = 0.5
slate = {{max_category_share = 0.3}}   # as in arms.toml
# version = "7"             # or alias = "challenger"
# scenario = {{max_per_brand = 2}}     # as in scenarios.toml
# payload = {{headline = "Chosen for you"}}   # for pages: POST /v1/assignments
"""
