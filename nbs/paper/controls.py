"""Controls: prompts that have learned nothing, for TaI-DPT's, and a second look at the region of
another class."""
from taidpt.learner import TaIDPT
from taidpt.training import Fitted
from taidpt.wrappers import Rescored


class Untrained(TaIDPT):
    "Random context vectors, one draw for each seed"
    def fit(self, train, features=None, progress=True):
        recipe = self.recipe_for(len(train))
        self.fitted_ = Fitted(self.fresh_prompts(recipe), recipe=recipe)
        return self


class Elsewhere(Rescored):
    "Each class looks at the region of the class before it"
    def first_look(self, images, on_error='raise', progress=True):
        s, boxes = super().first_look(images, on_error, progress)
        return s, boxes.roll(1, 1)
