# What a person types. Meson does the building; the long parts are in scripts/.
BUILD ?= build
ARGS ?=

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1  \t/p' Makefile

run: ## install what is missing, build, start the service (ARGS='--http :8081')
	@./scripts/run.sh $(ARGS)

test: ## everything, from nothing; ends with 'N passed, N failed'
	@./scripts/test.sh

build: ## build/highgopress
	@./scripts/setup.sh run
	@./scripts/build.sh $(BUILD)

bench: ## us beside nginx, as ratios
	@./scripts/setup.sh bench
	@./scripts/build.sh $(BUILD)
	@./bench/run $(ARGS)

format: ## rewrite the sources in the house style
	@git ls-files '*.c' '*.h' | grep -v '^tests/gates/' | xargs clang-format -i

lint: ## the gates and clang-tidy alone
	@./scripts/build.sh $(BUILD)
	@./scripts/lint.sh $(BUILD)

clean: ## forget the builds (never the data)
	@rm -rf build build-asan build-tsan

.PHONY: help run test build bench format lint clean
