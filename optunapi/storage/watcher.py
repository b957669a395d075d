"""One thread for all databases at rest: it looks at each about once a second."""

import threading
import time
from collections.abc import Callable

LOOK_SECONDS = 1.0

Look = Callable[[], None]


class Watcher:
    """Calls each look about once a second, in one thread. A look must not raise, nor wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looks: dict[Look, None] = {}
        self._has_thread = False

    def add(self, look: Look) -> None:
        """Call `look` from now on; the thread is started with the first."""
        with self._lock:
            self._looks[look] = None
            if not self._has_thread:
                self._has_thread = True
                threading.Thread(target=self._run, name="database watcher", daemon=True).start()

    def remove(self, look: Look) -> None:
        """Do not call `look` again; a call that has begun may still go on."""
        with self._lock:
            self._looks.pop(look, None)

    def _run(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            with self._lock:
                looks = list(self._looks)
                if not looks:
                    self._has_thread = False
                    return
            for look in looks:
                look()
