"""A server of SSH on this machine, which runs what it is asked to."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.conftest import REPOSITORY


@contextmanager
def serving(asyncssh: Any) -> Iterator[dict[str, Any]]:
    """Serve one key on loopback; give the options of a client that has it."""
    key, host_key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}

    async def run(process: Any) -> None:
        child = await asyncio.create_subprocess_shell(
            process.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        try:
            await process.redirect(child.stdin, child.stdout, child.stderr)
            ends = [child.wait(), process.wait_closed()]
            waiting = {asyncio.ensure_future(end) for end in ends}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if child.returncode is None:  # the client is gone
                os.killpg(child.pid, signal.SIGKILL)
        process.exit(await child.wait())

    class Server(asyncssh.SSHServer):  # type: ignore[misc]
        def begin_auth(self, username: str) -> bool:
            return True

        def public_key_auth_supported(self) -> bool:
            return True

        def validate_public_key(self, username: str, offered: Any) -> bool:
            return bool(offered == key.convert_to_public())

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> Any:
        keys = [host_key]
        return await asyncssh.create_server(
            Server, "127.0.0.1", 0, server_host_keys=keys, process_factory=run
        )

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        port = server.sockets[0].getsockname()[1]
        yield {"port": port, "username": "tester", "client_keys": [key], "known_hosts": None}
    finally:

        async def stop() -> None:
            server.close()
            await server.wait_closed()
            await asyncio.sleep(1)  # commands see that their client is gone
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for other in others:
                other.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
