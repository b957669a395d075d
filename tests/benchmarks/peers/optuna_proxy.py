"""Optuna's gRPC proxy in front of a database. Needs Optuna with grpcio alone.

python optuna_proxy.py STORAGE PORT
"""

import sys
import warnings

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import get_storage, run_grpc_proxy_server

if __name__ == "__main__":
    warnings.simplefilter("ignore", ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    run_grpc_proxy_server(get_storage(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]))
