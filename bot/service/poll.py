"""A poll under way: what it asks of the exchange is answered in other threads, all else happens in the caller's."""

from bot.service.poller import Poller
from bot.service.waiter import Answer, Waiter


class Poll:
    """One poll of one market, a step at a time, so that many can be under way at once in one thread."""

    def __init__(self, poller: Poller, waiter: Waiter) -> None:
        self.poller, self.bars = poller, 0
        self._waiter, self._steps = waiter, poller.steps()
        self._answer: Answer | None = None
        self.discarded = False

    @property
    def waits(self) -> bool:
        """Whether there is nothing to do before the exchange has answered."""
        return self._answer is not None and not self._answer.done

    def advance(self) -> bool:
        """Go on to the next request or the next decided bar; whether the poll is over, with so many `bars` decided.

        Raises what `Poller.steps` raises, which ends the poll, too. Not to be called while it `waits`.
        """
        answer, self._answer = self._answer, None
        if self.discarded:
            return True
        try:
            if answer is not None and answer.error is not None:
                request = self._steps.throw(answer.error)
            else:
                request = self._steps.send(None if answer is None else answer.value)
        except StopIteration as end:
            self.bars = end.value
            return True
        if request is not None:
            self._answer = self._waiter.start(request)
        return False

    def discard(self) -> None:
        """Decide nothing more. It is over as soon as a request that is under way has ended."""
        self.discarded = True
        self._steps.close()
        if self.waits:
            self.poller.feed.cut()
