// Runs before Gradio builds the page. At start Gradio goes through all events of the page for each of its components,
// twice, and Svelte hands every plain array or object out wrapped in a proxy, which makes that a third of the time until
// the first picture. The list of events never changes. A class of its own keeps it, what is filtered out of it, and all
// that is in them from being wrapped; should Gradio name it otherwise one day, this does nothing.
(() => {
  class Unwrapped extends Array {}
  const events = window.gradio_config && window.gradio_config.dependencies;
  if (Array.isArray(events)) Object.setPrototypeOf(events, Unwrapped.prototype);
})();
