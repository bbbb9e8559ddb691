# A prompt of the user's, from the environment.
{id: 0, prompt: prompt($ENV.FRAMEWORK; $ENV.ARCHITECTURE; $ENV.PROMPT; $ENV.INPUT)}
