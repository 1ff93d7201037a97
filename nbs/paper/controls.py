"""Prompts that have learned nothing: a control for TaI-DPT's. The page of learned prompts shows the
result, that of the family the command."""
from taidpt.learner import TaIDPT
from taidpt.training import Fitted


class Untrained(TaIDPT):
    "Random context vectors, one draw for each seed"
    def fit(self, train, features=None, progress=True):
        recipe = self.recipe_for(len(train))
        self.fitted_ = Fitted(self.fresh_prompts(recipe), recipe=recipe)
        return self


class Centred(Untrained):
    "The same, with the mean over the classes subtracted from the class embeddings"
    def embeddings(self): return [E - E.mean(0) for E in super().embeddings()]
