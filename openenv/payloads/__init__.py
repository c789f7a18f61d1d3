"""Payloads: what users' classes hold and frames carry. Does not know frames."""

PAYLOADS = ("action", "observation", "state")
"The kinds of payloads that an environment has a class for."
