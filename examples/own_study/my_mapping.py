"""A mapping of one's own: each target is predicted by the one unit that follows it best in the training pictures."""

import numpy as np


def predict(train_features, train_responses, test_features):
    centred = train_responses - train_responses.mean(axis=0)
    covariance = train_features.T @ centred / len(train_features)
    best = np.abs(covariance).argmax(axis=0)
    slope = covariance[best, np.arange(best.size)]
    return train_responses.mean(axis=0) + test_features[:, best] * slope
