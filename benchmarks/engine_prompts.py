"""128 chat prompts of varied length: most are short, a few carry a long passage."""

from __future__ import annotations

import random

from promptmill.engine.contract import Request
from promptmill.sampling import row_seed

TOPICS = (
    "the water cycle", "photosynthesis", "the French Revolution", "how vaccines work", "a hash table",
    "the rules of chess", "black holes", "sourdough bread", "the stock market", "plate tectonics",
    "a binary search", "the Roman Empire", "electric cars", "the human heart", "honey bees", "jazz music",
)  # fmt: skip
TASKS = (
    "What is {topic}?",
    "Explain {topic} to a child of ten years in a few sentences.",
    "Write three questions for an exam about {topic}, with their answers.",
    "Name one fact about {topic}.",
    "Write a short poem about {topic}, and then say in one sentence what it means.",
    "Summarise the passage below in two sentences, and say what it has to do with {topic}.\n\n{passage}",
    "You are a careful teacher. A student says that {topic} is easy to understand. Answer politely, give one "
    "example that shows the opposite, and end with a question that makes the student think.",
    "Is {topic} interesting? Answer yes or no.",
)
SENTENCES = (
    "The old harbour had been quiet since the last of the fishing boats was sold.",
    "Every morning a woman with a red scarf walked along the wall and counted the gulls.",
    "Nobody in the town remembered who had built the tower, though everybody had climbed it once.",
    "In winter the light came late and left early, and the shops kept their lamps on all day.",
    "A letter arrived in March that nobody had expected, and it changed how the council thought about the bridge.",
    "The engineers measured the river for a whole year before they dared to draw a single line.",
    "Children learned to swim in the basin behind the mill, where the current was weak.",
)


def benchmark_requests(count: int = 128) -> list[Request]:
    """The same prompts each time, in an order that has nothing to do with their length."""
    chance = random.Random(20)
    made = [
        task.format(topic=topic, passage=" ".join(chance.choices(SENTENCES, k=chance.randint(4, 22))))
        for topic in TOPICS
        for task in TASKS
    ]
    chance.shuffle(made)
    return [
        Request(place, row_seed(0, str(place), 0), messages=({"role": "user", "content": text},))
        for place, text in enumerate(made[:count])
    ]
