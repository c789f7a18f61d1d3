"""The language model that code may ask: behind an API like that of OpenAI, or a class of yours."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

AT_ONCE = 8
"How many prompts of a batch are asked at the same time."


class Completes(Protocol):
    """What the environment needs of a language model; rubrics' judges take the same."""

    async def complete(self, prompt: str) -> str:
        """Return what it says to a prompt."""
        ...


class ChatCompletions:
    """Asks `POST {base_url}/chat/completions`."""

    def __init__(
        self, base_url: str, model: str, api_key: str | None = None, timeout_s: float = 60.0
    ) -> None:
        self.url = f"{base_url.rstrip('/')}/chat/completions"
        self.model = model
        self.timeout_s = timeout_s
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}

    async def complete(self, prompt: str) -> str:
        """Return what it says. Raises what httpx raises, and LookupError for an odd answer."""
        import httpx  # noqa: PLC0415 - servers without a language model need none

        body = {"model": self.model, "messages": [{"role": "user", "content": prompt}]}
        async with httpx.AsyncClient(timeout=self.timeout_s, headers=self._headers) as client:
            response = await client.post(self.url, json=body)
            response.raise_for_status()
            return str(response.json()["choices"][0]["message"]["content"])


class Queries:
    """The functions `llm_query` and `llm_query_batched`, with a budget per episode."""

    def __init__(self, llm: Completes | None, most: int) -> None:
        self.llm = llm
        self.most = most
        self.count = 0

    def query(self, prompt: Any) -> str:
        """Return what the language model says."""
        return self.query_batched([prompt])[0]

    def query_batched(self, prompts: Any) -> list[str]:
        """Return what it says to each prompt of a list. The list comes from untrusted code."""
        if self.llm is None:
            raise LookupError("this server has no language model: it is set by REPL_LLM_URL")
        if not isinstance(prompts, list) or not all(isinstance(one, str) for one in prompts):
            raise TypeError("llm_query takes a string, llm_query_batched a list of strings")
        if self.count + len(prompts) > self.most:
            raise OverflowError(f"an episode may ask {self.most} times, and has {self.count}")
        self.count += len(prompts)
        return asyncio.run(self._complete(self.llm, prompts))

    async def _complete(self, llm: Completes, prompts: list[str]) -> list[str]:
        turns = asyncio.Semaphore(AT_ONCE)

        async def complete(prompt: str) -> str:
            async with turns:
                return await llm.complete(prompt)

        return await asyncio.gather(*map(complete, prompts))
