"""A real classifier tuned by two processes: scikit-learn's SGDClassifier on its digits data set.

The images are split once into training, validation and test parts. Trials are trained on the first
and scored on the second. The test part is used once, at the end, to compare the best trial with the
classifier's defaults. The search space is config/digits.yaml. Needs requests and scikit-learn.

    python examples/train_digits.py [--url http://127.0.0.1:8000] [--trials 30] [--processes 2]
"""

import argparse
import os
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import requests
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

SEED = 0


def split():
    """Return training, validation and test parts (882, 375, 540 images), each (images, digits)."""
    images, digits = load_digits(return_X_y=True)
    rest, test, rest_digits, test_digits = train_test_split(
        images, digits, test_size=540, stratify=digits, random_state=SEED
    )
    training, validation, training_digits, validation_digits = train_test_split(
        rest, rest_digits, test_size=375, stratify=rest_digits, random_state=SEED
    )
    return (training, training_digits), (validation, validation_digits), (test, test_digits)


def fit(params, images, digits):
    with warnings.catch_warnings():
        # Parameters that do not converge keep the score they reach.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return SGDClassifier(random_state=SEED, **params).fit(images, digits)


def get(url, **query):
    response = requests.get(url, params=query, timeout=60)
    if not response.ok:
        raise SystemExit(response.text)
    return response.json()


def train(url, study, trials):
    """Run `trials` trials and return the last reply, which has the best trial so far."""
    training, validation, _ = split()
    for _ in range(trials):
        trial = get(f"{url}/optunapi/hparams/{study}")
        accuracy = fit(trial["params"], *training).score(*validation)
        reply = get(f"{url}/optunapi/score/{study}", trial_id=trial["trial_id"], score=accuracy)
        print("trial {trial_id}: {score:.4f}, best {best_score:.4f}".format(**reply), flush=True)
    return reply


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default=os.environ.get("OPTUNAPI_URL", "http://127.0.0.1:8000"))
    parser.add_argument("--study", default="digits")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()

    shares = [(options.trials + i) // options.processes for i in range(options.processes)]
    work = partial(train, options.url, options.study)
    with ProcessPoolExecutor(options.processes) as processes:
        replies = list(processes.map(work, filter(None, shares)))
    best = max(replies, key=lambda reply: reply["best_score"])

    training, _, test = split()
    tuned = fit(best["best_params"], *training).score(*test)
    default = fit({}, *training).score(*test)
    print(f"best: trial {best['best_trial']}, {best['best_params']}")
    print(f"validation accuracy of the best: {best['best_score']:.4f}")
    print(f"test accuracy of the best: {tuned:.4f}")
    print(f"test accuracy of the classifier's defaults: {default:.4f}")


if __name__ == "__main__":
    main()
