"""Secrets in use, known by their values: they are taken out of every text that comes from outside.

A proxy, a target or an Apex method can repeat what it was sent, in a form of
its own. Texts pass here where they enter: errors of Streamer's own when they
are made, outcomes of plugins, answers of the org, log lines and pages.
"""

from streamer.known_secrets.forms import forms_of, written_forms
from streamer.known_secrets.registry import KNOWN, MASK, KnownSecrets, secrets_in

__all__ = ["KNOWN", "MASK", "KnownSecrets", "forms_of", "secrets_in", "written_forms"]
