// The words of this page's language, which came with it.

const words = JSON.parse(document.body.dataset.words);
const numbers = new Intl.NumberFormat(document.documentElement.lang);

// A text with its `{names}` replaced; numbers as the language writes them.
export function say(name, values = {}) {
  return words[name].replace(/\{(\w+)\}/g, (_, place) => {
    const value = values[place];
    return typeof value === "number" ? numbers.format(value) : String(value);
  });
}

export function sayNumber(value) {
  return numbers.format(value);
}
