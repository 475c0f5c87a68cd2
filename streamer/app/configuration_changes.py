"""What a new configuration changes."""

from dataclasses import dataclass

from streamer.events import JsonObject, SubscriberName
from streamer.settings import Settings

_SOURCE = ("org", "channels")
_AT_ONCE = ("subscribers", "grace_period_s", *_SOURCE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What differs between the configuration in effect and a new one.

    `reads_anew` tells whether Salesforce is to be read in another way.
    `waiting` are the sections that a running process does not change.
    """

    added: tuple[SubscriberName, ...]
    removed: tuple[SubscriberName, ...]
    changed: tuple[SubscriberName, ...]
    reads_anew: bool
    waiting: tuple[str, ...]

    @classmethod
    def between(cls, old: Settings, new: Settings) -> "Changes":
        """Return what is to be done so that `new` is in effect instead of `old`."""
        differing = [name for name in Settings.model_fields if getattr(old, name) != getattr(new, name)]
        before, after = old.subscribers, new.subscribers
        return cls(
            added=tuple(sorted(after.keys() - before.keys())),
            removed=tuple(sorted(before.keys() - after.keys())),
            changed=tuple(
                sorted(name for name in before.keys() & after.keys() if before[name] != after[name])
            ),
            reads_anew=any(name in _SOURCE for name in differing),
            waiting=tuple(name for name in differing if name not in _AT_ONCE),
        )

    def said(self) -> JsonObject:
        """Return what is worth saying of it."""
        return {
            "added": list(self.added),
            "removed": list(self.removed),
            "changed": list(self.changed),
            "salesforce_read_anew": self.reads_anew,
            "waiting_for_restart": list(self.waiting),
        }


def within_reach(old: Settings, new: Settings) -> Settings:
    """Return `new` as far as a running process that began with `old` can follow it."""
    return old.model_copy(update={name: getattr(new, name) for name in _AT_ONCE})
