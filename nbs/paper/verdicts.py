"""Whether a claim holds: Student's t, Holm's correction, and the smallest gain that a test could
have seen. Where a claim holds is a pair of numbers, between which the difference must lie."""
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student
from taidpt.metrics import Interval

GAIN = 0., np.inf                           # where a claim of a gain holds


class Estimate(NamedTuple):
    value: float
    error: float # standard error
    df: float # degrees of freedom

    @classmethod
    def of_sample(cls, values):
        "Of the mean of what the values are a sample of"
        df = len(values) - 1
        return cls(np.mean(values), np.std(values, ddof=1)/len(values)**.5, df)

    def interval(self):
        "95 %"
        half = student.ppf(.975, self.df)*self.error
        return Interval(*map(float, (self.value, self.value - half, self.value + half)))


def standard_error(interval, df=np.inf):
    return (interval.high - interval.low)/2/student.ppf(.975, df)


def mean_of_sets(values, errors, df=np.inf):
    "The mean difference, in which each set of photos counts once (Bonett 2009)"
    error = np.sqrt(np.sum(np.square(errors)))/len(values)
    return Estimate(np.mean(values), error, df)


def p_value(estimate, holds):
    "Of the nearer end of where a claim holds, two-sided; and whether the estimate lies inside"
    inside = min(estimate.value - holds[0], holds[1] - estimate.value)
    return 2*student.sf(abs(inside)/estimate.error, estimate.df), inside > 0


def holm(p, place):
    """P-values by claim that allow for the number of places (Holm 1979); a place is left when all
    of its claims are decided"""
    by_p, adjusted, highest = sorted(p, key=p.get), {}, 0.
    for done, name in enumerate(by_p):
        places_left = {place[other] for other in by_p[done:]}
        highest = max(highest, min(1., len(places_left)*p[name]))
        adjusted[name] = highest
    return adjusted


def first_step(estimate, places):
    "How many standard errors Holm's first step asks for"
    return student.ppf(1 - .025/places, estimate.df)


def smallest_seen(estimate, holds, places):
    "The smallest gain that is found to hold in 80 of 100 cases"
    return holds[0] + estimate.error*(first_step(estimate, places) + student.ppf(.8, estimate.df))


def power(estimate, holds, truth, places):
    "How often a claim is found to hold"
    low, high = (np.array(holds) - truth)/estimate.error
    asked = first_step(estimate, places)
    between = student.cdf(high - asked, estimate.df) - student.cdf(low + asked, estimate.df)
    return max(0., between)
