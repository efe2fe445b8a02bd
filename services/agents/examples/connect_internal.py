"""Ask the company's internal API through the gateway: GATEWAY_URL and GATEWAY_KEY say where it is and who asks."""

from __future__ import annotations

import asyncio
import os
import sys

from agents_client import AgentsError, LLMConfig, LLMProvider, get_agent_service


async def main() -> int:
    """Exit status: 0 it answered, 1 it did not."""
    print(f"Gateway: {os.getenv('GATEWAY_URL')}")
    agent_service = await get_agent_service(config=LLMConfig(provider=LLMProvider.INTERNAL))
    try:
        response = await agent_service.llm_manager.simple_completion(
            "Hello, this is a test message.", "You are a helpful assistant."
        )
        print(f"LLM Response: {response}")
        print(f"Tokens: {agent_service.llm_manager.usage.total_tokens}")
    except AgentsError as error:
        print(f"Internal LLM test failed: {error}")
        return 1
    finally:
        await agent_service.close()
    print("Internal LLM connection test successful!")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
