"""Work on many files at once, in order, with a bounded number of results waiting."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int = 2, chunk: int = 1
) -> Generator[Result, None, None]:
    """`function` of each item, in the items' order, computed in threads (decoders run outside the GIL).

    chunk: items handed to a thread at once; more than one where each takes little. At most four chunks a worker
    wait in memory, however many items there are.
    """
    waiting: deque[Future[list[Result]]] = deque()
    rest = iter(items)

    def work(some: list[Item]) -> list[Result]:
        return [function(item) for item in some]

    with ThreadPoolExecutor(workers) as pool:
        try:
            while some := list(islice(rest, chunk)):
                waiting.append(pool.submit(work, some))
                if len(waiting) >= 4 * workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
