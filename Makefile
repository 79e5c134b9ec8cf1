# make demo, make test: all a new user needs. make help lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH_VENV := build/bench-venv
FRAMEWORKS_VENV := build/frameworks-venv
CUDA_VENV := build/cuda-venv
SOURCES := $(shell find csrc cmake python/rnnpack -name '*.h' -o -name '*.cpp' -o -name '*.cmake' -o -name '*.py' -o -name '*.pyi')
CUDA_SOURCES := $(shell find cuda13 cmake csrc/cuda csrc/simd csrc/cells csrc/activations csrc/api -type f)

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /: /'

demo: $(VENV)/.installed  ## classify handwritten digits with a trained recurrent network
	$(BIN)/python examples/digits/demo.py

test: $(VENV)/.installed  ## the whole test suite, with coverage of the Python package
	$(BIN)/python -m pytest --cov --cov-report=term --cov-fail-under=95

test-frameworks: $(FRAMEWORKS_VENV)/.installed  ## formats against live frameworks, Ray, bounded fuzzing: large downloads
	$(FRAMEWORKS_VENV)-keras2/bin/python -m pytest -q tests/formats/keras_format
	KERAS_BACKEND=torch $(FRAMEWORKS_VENV)/bin/python -m pytest -q tests/formats tests/cluster tests/docs
	$(FRAMEWORKS_VENV)/bin/python tests/fuzz/run.py --seconds 30

lint: $(VENV)/.dev  ## ruff, clang-format, clang-tidy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $$(find csrc -name '*.h' -o -name '*.cpp' -o -name '*.cu')
	$(BIN)/cmake -S . -B build/lint -G Ninja -DPython_EXECUTABLE=$(abspath $(BIN)/python) -Dpybind11_DIR=$$($(BIN)/python -m pybind11 --cmakedir) > /dev/null
	$(BIN)/clang-tidy --quiet -p build/lint $$(find csrc -name '*.cpp' ! -name 'neon*.cpp')
	$(BIN)/clang-tidy --quiet csrc/cuda/*.cu -- -x c++ -std=c++20 -Itests/cuda/emulator -Icsrc

types: $(VENV)/.dev  ## mypy in strict mode, and the stub against the built module
	$(BIN)/mypy python/rnnpack
	$(BIN)/python -m mypy.stubtest rnnpack._core --allowlist tests/stubtest-allowlist.txt

format: $(VENV)/.dev  ## rewrite the sources in the project's style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/clang-format -i $$(find csrc -name '*.h' -o -name '*.cpp' -o -name '*.cu')

wheel: dist/.built  ## sdist, the wheel built from it, and the tests on that wheel in a new environment
	rm -rf build/wheel-venv
	$(PYTHON) -m venv build/wheel-venv
	build/wheel-venv/bin/python -m pip install -q "$$(ls dist/*.whl)[test,demo]"
	build/wheel-venv/bin/python -m pytest -q
	ls -l dist

cuda: build/cuda-wheel/.built dist/.built  ## the wheel of rnnpack-cuda13 (needs nvcc 13), and what of it can be checked without a GPU
	rm -rf $(CUDA_VENV)
	$(PYTHON) -m venv $(CUDA_VENV)
	$(CUDA_VENV)/bin/python -m pip install -q "$$(ls dist/*.whl)[test]" build/cuda-wheel/*.whl 'nvidia-cuda-cuobjdump==13.*'
	$(CUDA_VENV)/bin/python -m pytest -q tests/cuda/test_cuda_build.py
	ls -l build/cuda-wheel

bench: $(BENCH_VENV)/.installed  ## compare with other libraries on an idle machine; BENCH="all", BENCH="--help" and so on
	$(BENCH_VENV)/bin/python bench/run.py $(BENCH) --python tensorflow=$(BENCH_VENV)-tensorflow/bin/python

# One environment would not do: TensorFlow 2.15, and so Keras 2, wants an old NumPy.
$(FRAMEWORKS_VENV)/.installed: pyproject.toml CMakeLists.txt $(SOURCES)
	$(PYTHON) -m venv $(FRAMEWORKS_VENV)
	$(PYTHON) -m venv $(FRAMEWORKS_VENV)-keras2
	rm -rf $(FRAMEWORKS_VENV)-wheel
	$(FRAMEWORKS_VENV)/bin/python -m pip wheel -q --no-deps -w $(FRAMEWORKS_VENV)-wheel .
	wheel=$$(ls $(FRAMEWORKS_VENV)-wheel/*.whl) && \
	  $(FRAMEWORKS_VENV)/bin/python -m pip install -q "$$wheel[test,ray]" torch==2.13.0 keras jax flax dm-haiku atheris && \
	  $(FRAMEWORKS_VENV)-keras2/bin/python -m pip install -q "$$wheel[keras]" pytest hypothesis 'tensorflow-cpu==2.15.*'
	touch $@

clean:  ## remove what the other targets made
	rm -rf $(VENV) build dist

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml CMakeLists.txt $(SOURCES)
	$(BIN)/python -m pip install -q '.[test,demo]'
	touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(BIN)/python -m pip install -q '.[dev]'
	touch $@

dist/.built: $(VENV)/.dev README.md LICENSE
	rm -rf dist
	$(BIN)/python -m build
	touch $@

build/cuda-wheel/.built: $(VENV)/bin/python pyproject.toml $(CUDA_SOURCES)
	rm -rf build/cuda-wheel
	$(BIN)/python -m pip wheel -q --no-deps -w build/cuda-wheel ./cuda13
	touch $@

# TensorFlow 2.15 wants an old NumPy, so it lives apart. A peer that does not install only loses its column.
$(BENCH_VENV)/.installed: pyproject.toml CMakeLists.txt $(SOURCES)
	$(PYTHON) -m venv $(BENCH_VENV)
	$(PYTHON) -m venv $(BENCH_VENV)-tensorflow
	$(BENCH_VENV)/bin/python -m pip install -q '.[bench]'
	for peer in torch==2.13.0 onnxruntime openvino; do \
	  $(BENCH_VENV)/bin/python -m pip install -q $$peer || echo "$$peer does not install: skipped"; done
	$(BENCH_VENV)-tensorflow/bin/python -m pip install -q 'tensorflow-cpu==2.15.*' \
	  || echo "tensorflow-cpu==2.15 does not install: skipped"
	touch $@

.PHONY: help demo test test-frameworks lint types format wheel cuda bench clean
