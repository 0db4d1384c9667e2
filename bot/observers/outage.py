"""An outage: how long it lasts, and when to log it again."""

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Outage:
    """A trouble that lasts: counted at each failure, spoken of at the first and then each time that its length has
    doubled, from an hour on, so that a week of it is a handful of lines.
    """

    since: float | None = None
    failures: int = 0
    spoken: float = 0.0

    def failed(self, now: float) -> dict[str, Any] | None:
        """Count a failure; what to say of it, or None."""
        self.failures += 1
        if self.since is None:
            self.since, self.spoken = now, 1800.0
            return {"failures": 1, "for_seconds": 0}
        lasted = now - self.since
        if lasted < 2 * self.spoken:
            return None
        self.spoken = lasted
        return {"failures": self.failures, "for_seconds": round(lasted)}

    def over(self, now: float) -> dict[str, Any] | None:
        """The trouble is over; what to say of it, None where there was none."""
        if self.since is None:
            return None
        detail = {"failures": self.failures, "for_seconds": round(now - self.since)}
        self.since, self.failures, self.spoken = None, 0, 0.0
        return detail
