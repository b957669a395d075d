"""A trainer that needs only requests and Python 3.6 or newer: the two GET requests of OptunAPI 0.1.

It asks for a trial, computes the score of its parameters (here a paraboloid, in your case hours of
training), sends the score, and reads the best point so far from the reply. Start as many as you like,
on as many machines: each gets its own trials.

    python examples/simple_trainer.py [--url http://127.0.0.1:8000] [--study optunapi-test]
"""

import argparse
import os

import requests


def paraboloid(x, y):
    return x**2 + y**2


def get(url, **query):
    response = requests.get(url, params=query, timeout=60)
    if not response.ok:
        raise SystemExit(response.text)
    return response.json()


def train(url, study, trials):
    for _ in range(trials):
        trial = get(url + "/optunapi/hparams/" + study)
        score = paraboloid(**trial["params"])
        reply = get(url + "/optunapi/score/" + study, trial_id=trial["trial_id"], score=score)
        print("trial %(trial_id)d: %(score).4g, best so far %(best_score).4g" % reply)
    print("best: trial %(best_trial)d, score %(best_score).4g, %(best_params)s" % reply)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default=os.environ.get("OPTUNAPI_URL", "http://127.0.0.1:8000"))
    parser.add_argument("--study", default="optunapi-test")
    parser.add_argument("--trials", type=int, default=20)
    return parser


if __name__ == "__main__":
    options = arguments().parse_args()
    train(options.url, options.study, options.trials)
