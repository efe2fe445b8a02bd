// Makes elements of a model's Markdown. What a model writes is a stranger's text: it becomes text nodes and a few
// elements without attributes, never markup. Pictures are named and not loaded; only links to the web and to mail are
// links. Every line is read once, and one that is longer than a person would write is text as it is.

const LONGEST_LINE = 4000;
const DEEPEST = 6;
const SCHEMES = new Set(["http:", "https:", "mailto:"]);

const FENCE = /^ {0,3}(`{3,}|~{3,})[ \t]*([\w+#.-]{0,30})/;
const HEADING = /^ {0,3}(#{1,6})[ \t]+(.*)$/;
const RULE = /^ {0,3}(?:-[ \t]*){3,}$|^ {0,3}(?:\*[ \t]*){3,}$|^ {0,3}(?:_[ \t]*){3,}$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])[ \t]+/;
const BAR = /^[ \t:|-]+$/;
const BARE_LINK = /https?:\/\/[^\s<>"'`]+/y;
const MARKS = [["**", "strong"], ["__", "strong"], ["~~", "del"], ["*", "em"], ["_", "em"]];

// A fragment; `imageWord` says of a picture that it is one.
export function renderMarkdown(text, imageWord) {
  const fragment = document.createDocumentFragment();
  fragment.append(...new Reader(imageWord).readBlocks(text.split("\n"), 0));
  return fragment;
}

class Reader {
  constructor(imageWord) {
    this.imageWord = imageWord;
  }

  readBlocks(lines, depth) {
    const blocks = [];
    let at = 0;
    while (at < lines.length) {
      const [block, next] = this.readBlock(lines, at, depth);
      if (block) blocks.push(block);
      at = next;
    }
    return blocks;
  }

  // The block that begins at a line, and where the next one does.
  readBlock(lines, at, depth) {
    const line = lines[at];
    if (!line.trim()) return [null, at + 1];
    if (line.length > LONGEST_LINE) return [make("p", line), at + 1];
    const fence = FENCE.exec(line);
    if (fence) return readCode(lines, at, fence);
    const heading = HEADING.exec(line);
    if (heading) return [make("p", make("strong", ...this.readInline(heading[2], 0))), at + 1];
    if (RULE.test(line)) return [make("hr"), at + 1];
    if (depth < DEEPEST && QUOTE.test(line)) return this.readQuote(lines, at, depth);
    if (depth < DEEPEST && ITEM.test(line)) return this.readList(lines, at, depth);
    if (isTable(lines, at)) return this.readTable(lines, at);
    return this.readParagraph(lines, at);
  }

  readParagraph(lines, at) {
    const parts = [...this.readInline(lines[at], 0)];
    let next = at + 1;
    for (; next < lines.length && lines[next].trim() && !beginsBlock(lines, next); next += 1) {
      parts.push("\n", ...this.readInline(lines[next], 0));
    }
    return [make("p", ...parts), next];
  }

  readQuote(lines, at, depth) {
    let next = at;
    const inner = [];
    for (; next < lines.length && lines[next].length <= LONGEST_LINE && QUOTE.test(lines[next]); next += 1) {
      inner.push(lines[next].replace(QUOTE, ""));
    }
    return [make("blockquote", ...this.readBlocks(inner, depth + 1)), next];
  }

  readList(lines, at, depth) {
    const first = ITEM.exec(lines[at]);
    const isOrdered = /\d/.test(first[2]);
    const list = make(isOrdered ? "ol" : "ul");
    if (isOrdered) list.start = Number.parseInt(first[2], 10);
    let next = at;
    while (next < lines.length) {
      const found = lines[next].length > LONGEST_LINE ? null : ITEM.exec(lines[next]);
      if (!found || found[1].length !== first[1].length || /\d/.test(found[2]) !== isOrdered) break;
      const inner = [lines[next].slice(found[0].length)];
      for (next += 1; next < lines.length && belongs(lines, next, found[1].length); next += 1) {
        inner.push(dedent(lines[next], found[0].length));
      }
      list.append(make("li", ...unwrap(this.readBlocks(inner, depth + 1))));
    }
    return [list, next];
  }

  readTable(lines, at) {
    const head = make("tr", ...splitCells(lines[at]).map((cell) => makeHead(this.readInline(cell, 0))));
    const body = make("tbody");
    let next = at + 2;
    for (; next < lines.length && lines[next].includes("|") && lines[next].length <= LONGEST_LINE; next += 1) {
      body.append(make("tr", ...splitCells(lines[next]).map((cell) => make("td", ...this.readInline(cell, 0)))));
    }
    return [make("table", make("thead", head), body), next];
  }

  // Text nodes and elements of one line.
  readInline(text, depth) {
    if (text.length > LONGEST_LINE || depth > DEEPEST) return [text];
    const parts = [];
    let plain = "";
    let at = 0;
    while (at < text.length) {
      const found = this.readMark(text, at, depth);
      if (!found) {
        plain += text[at];
        at += 1;
        continue;
      }
      const [part, next] = found;
      if (typeof part === "string") plain += part;
      else {
        if (plain) parts.push(plain);
        parts.push(part);
        plain = "";
      }
      at = next;
    }
    if (plain) parts.push(plain);
    return parts;
  }

  // What begins at a place, and where the rest does; null for a character that is only itself.
  readMark(text, at, depth) {
    const character = text[at];
    if (character === "\\" && /[!-/:-@[-`{-~]/.test(text[at + 1] ?? "")) return [text[at + 1], at + 2];
    if (character === "`") return readSpan(text, at);
    if (character === "!" && text[at + 1] === "[") return this.readImage(text, at);
    if (character === "[") return this.readLink(text, at, depth);
    if (character === "h") return readBareLink(text, at);
    return "*_~".includes(character) ? this.readEmphasis(text, at, depth) : null;
  }

  readEmphasis(text, at, depth) {
    for (const [mark, name] of MARKS) {
      if (!text.startsWith(mark, at)) continue;
      const begin = at + mark.length;
      const end = text.indexOf(mark, begin);
      const isWord = mark[0] === "_" && (/\w/.test(text[at - 1] ?? "") || /\w/.test(text[end + mark.length] ?? ""));
      if (end <= begin || isWord || /\s/.test(text[begin]) || /\s/.test(text[end - 1])) continue;
      return [make(name, ...this.readInline(text.slice(begin, end), depth + 1)), end + mark.length];
    }
    return null;
  }

  readImage(text, at) {
    const found = splitLink(text, at + 1);
    return found ? [`[${this.imageWord}: ${found.label}]`, found.next] : null;
  }

  readLink(text, at, depth) {
    const found = splitLink(text, at);
    const href = found && !found.label.includes("[") ? checkAddress(found.address) : "";
    if (!href) return null;
    return [makeLink(href, this.readInline(found.label, depth + 1)), found.next];
  }
}

function readCode(lines, at, [, fence, language]) {
  const close = new RegExp(`^ {0,3}${fence[0]}{${fence.length},}[ \\t]*$`);
  let end = at + 1;
  while (end < lines.length && !(lines[end].length <= LONGEST_LINE && close.test(lines[end]))) end += 1;
  const box = make("pre", make("code", lines.slice(at + 1, end).join("\n")));
  box.tabIndex = 0;
  if (!language) return [box, end + 1];
  const named = make("p", language);
  named.className = "language";
  return [make("div", named, box), end + 1];
}

function readSpan(text, at) {
  let length = 1;
  while (text[at + length] === "`") length += 1;
  const end = text.indexOf("`".repeat(length), at + length);
  if (end < 0) return ["`".repeat(length), at + length];
  return [make("code", text.slice(at + length, end).trim()), end + length];
}

function readBareLink(text, at) {
  BARE_LINK.lastIndex = at;
  const found = /[\w:]/.test(text[at - 1] ?? "") ? null : BARE_LINK.exec(text);
  const address = found?.[0].replace(/[.,:;!?)\]}*_~]{1,8}$/, "");
  const href = address ? checkAddress(address) : "";
  return href ? [makeLink(href, [address]), at + address.length] : null;
}

// The label and the address of `[label](address "title")` at a place.
function splitLink(text, at) {
  const middle = text.indexOf("](", at);
  const end = middle < 0 ? -1 : text.indexOf(")", middle);
  if (end < 0) return null;
  const [address] = text.slice(middle + 2, end).trim().split(/\s/, 1);
  return { label: text.slice(at + 1, middle), address: address.replace(/^<|>$/g, ""), next: end + 1 };
}

// An address of the web or of mail as browsers write it; empty for any other, and for one that hides its host.
function checkAddress(text) {
  const address = URL.parse ? URL.parse(text) : tryParse(text);
  if (!address || !SCHEMES.has(address.protocol) || address.username || address.password) return "";
  return address.href;
}

function tryParse(text) {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}

function beginsBlock(lines, at) {
  const line = lines[at];
  if (line.length > LONGEST_LINE) return true;
  return FENCE.test(line) || HEADING.test(line) || QUOTE.test(line) || ITEM.test(line) || RULE.test(line);
}

// Whether a line goes on with the item before it: it is further in, or empty with such a line behind it.
function belongs(lines, at, indent) {
  const line = lines[at].trim() ? lines[at] : (lines[at + 1] ?? "");
  return line.length <= LONGEST_LINE && line.trim() !== "" && line.search(/\S/) > indent;
}

function dedent(line, width) {
  return line.slice(Math.min(width, Math.max(line.search(/\S/), 0)));
}

function isTable(lines, at) {
  const bar = lines[at + 1] ?? "";
  return lines[at].includes("|") && bar.length <= LONGEST_LINE && bar.includes("|") && bar.includes("-") && BAR.test(bar);
}

function splitCells(line) {
  return line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
}

// The only paragraph of an item needs no element of its own.
function unwrap(blocks) {
  return blocks[0]?.tagName === "P" ? [...blocks[0].childNodes, ...blocks.slice(1)] : blocks;
}

function make(name, ...parts) {
  const element = document.createElement(name);
  element.append(...parts);
  return element;
}

function makeHead(parts) {
  const cell = make("th", ...parts);
  cell.scope = "col";
  return cell;
}

function makeLink(href, parts) {
  const link = make("a", ...parts);
  link.href = href;
  link.title = href;
  link.target = "_blank";
  link.rel = "noopener noreferrer nofollow";
  return link;
}
