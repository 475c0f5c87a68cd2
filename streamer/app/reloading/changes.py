"""Differences between two configurations, and the part of them that a running process can follow."""

from dataclasses import dataclass

from streamer.app.routes import named_by
from streamer.events import JsonObject, SubscriberName
from streamer.settings import Settings

_SOURCE = ("org", "channels", "outbound", "reconcile")
_PROTECTION = ("protect", "protection")
_RELOADABLE = ("subscribers", "tables", "hash_keys", "grace_period_s", *_PROTECTION, *_SOURCE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationChanges:
    """Differences between the configuration in effect and a new one.

    `changes_source` is true when Salesforce must be read in another way, and
    `changes_protection` when the protected fields, or their treatment, change.
    `waiting` are the changed sections that take effect at the next start.
    """

    added: tuple[SubscriberName, ...]
    removed: tuple[SubscriberName, ...]
    changed: tuple[SubscriberName, ...]
    changes_source: bool
    changes_protection: bool
    waiting: tuple[str, ...]

    @classmethod
    def between(cls, old: Settings, new: Settings) -> "ConfigurationChanges":
        """Return the differences between `old` and `new`."""
        differing = [name for name in Settings.model_fields if getattr(old, name) != getattr(new, name)]
        before, after = old.subscribers, new.subscribers
        return cls(
            added=tuple(sorted(after.keys() - before.keys())),
            removed=tuple(sorted(before.keys() - after.keys())),
            changed=tuple(
                sorted(
                    name
                    for name in before.keys() & after.keys()
                    if before[name] != after[name]
                    or named_by(before[name], old) != named_by(after[name], new)
                )
            ),
            changes_source=any(name in _SOURCE for name in differing),
            changes_protection=any(name in _PROTECTION for name in differing),
            waiting=tuple(name for name in differing if name not in _RELOADABLE),
        )

    def as_json(self) -> JsonObject:
        """Return the differences for the log and the audit."""
        return {
            "added": list(self.added),
            "removed": list(self.removed),
            "changed": list(self.changed),
            "salesforce_read_anew": self.changes_source,
            "protection_changed": self.changes_protection,
            "waiting_for_restart": list(self.waiting),
        }


def reloadable(old: Settings, new: Settings) -> Settings:
    """Return `old` with the sections of `new` that a running process can follow."""
    return old.model_copy(update={name: getattr(new, name) for name in _RELOADABLE})
