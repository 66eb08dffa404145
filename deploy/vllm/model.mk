# The model: train it, serve it, measure it. Included by the Makefile.
VLLM_DIR ?= $(HOME)/.cache/penchant/vllm
MODEL_DIR ?= $(HOME)/.cache/penchant/model
MODEL_MINUTES ?= 42
MODEL_BASE = $(VLLM_DIR)/base
GOLD := inference/data/gold

model: $(VENV)/.demo ## train the small model on our gold data, serve it with vLLM on the CPU, evaluate it (about an hour)
	deploy/vllm/setup.sh $(VLLM_DIR)
	test -f $(MODEL_DIR)/penchant.json -a ! -f $(MODEL_DIR)/training-state.pt || \
	  OMP_NUM_THREADS=$${OMP_NUM_THREADS:-2} OMP_WAIT_POLICY=passive HF_HUB_OFFLINE=1 $(VLLM_DIR)/venv/bin/python -m inference.training \
	  $(MODEL_BASE) $(MODEL_DIR) --epochs 4 --batch-size 16 --learning-rate 1.5e-4 --frozen-layers 6 --dev-share 0.02 --max-minutes $(MODEL_MINUTES) --resume
	$(BIN)/python deploy/vllm/with_server.py $(VLLM_DIR) $(MODEL_DIR) \
	  env PENCHANT_ALLOW_SENSITIVE=true $(BIN)/penchant eval --data $(GOLD)/eval.jsonl --extractor vllm

bench-comments: setup-test ## comments from Kafka through that model to Redis, against a plain client and LLM.chat (after make model)
	$(BIN)/python deploy/vllm/with_server.py $(VLLM_DIR) $(MODEL_DIR) \
	  $(BIN)/penchant bench comments --offline-python $(VLLM_DIR)/venv/bin/python --offline-model $(MODEL_DIR)

test-vllm: setup-test ## the tests that need a real vLLM server and the trained model (after make model)
	$(BIN)/python deploy/vllm/with_server.py $(VLLM_DIR) $(MODEL_DIR) \
	  $(BIN)/python -m pytest -q tests/integration/test_vllm_server.py
