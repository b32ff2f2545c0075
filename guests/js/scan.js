// The component exports one interface, so the module exports one object of its name.
//
// A result is `ok` when the function returns, and `err` with what it throws, unless that is an Error: an Error is a
// mistake in this file, and ends the call.

const U64_MAX = 2n ** 64n - 1n;

const DIGITS = {
  hex: '0123456789abcdef',
  base32: 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567',
  base64url: 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_',
};

function compile(pattern, options = {}) {
  const { ignoreCase, multiline, dotAll } = options;
  const flags = `gu${ignoreCase ? 'i' : ''}${multiline ? 'm' : ''}${dotAll ? 's' : ''}`;
  try {
    return new RegExp(pattern, flags);
  } catch (error) {
    throw `that is no pattern: ${error.message}`;
  }
}

/** Characters, not the halves that JavaScript counts. */
function characters(text) {
  return [...text].length;
}

function groupsOf(match) {
  const names = new Map();
  for (const [name, value] of Object.entries(match.groups ?? {})) names.set(name, value);
  return [...match.slice(1).map((value, index) => [String(index + 1), value]), ...names];
}

/** The groups of base 2, 16, 32 or 64, without padding. */
function regroup(values, from, to) {
  const out = [];
  let held = 0;
  let bits = 0;
  for (const value of values) {
    held = (held << from) | value;
    bits += from;
    while (bits >= to) {
      bits -= to;
      out.push((held >> bits) & ((1 << to) - 1));
    }
    held &= (1 << bits) - 1;
  }
  return { out, held, bits };
}

export const scan = {
  search(text, pattern, options, atMost) {
    const found = [];
    let start = 0;
    let before = 0;
    for (const match of text.matchAll(compile(pattern, options))) {
      if (found.length === atMost) break;
      start += characters(text.slice(before, match.index));
      before = match.index;
      found.push({ start, text: match[0], groups: groupsOf(match) });
    }
    return found;
  },

  replace(text, pattern, replacement, options) {
    const regex = compile(pattern, options);
    const count = BigInt([...text.matchAll(regex)].length);
    return { text: text.replace(regex, replacement), count };
  },

  tokens(text) {
    const pieces = text.matchAll(/(\s+)|(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|([\w\u00aa-\uffff]+)|(.)/gsu);
    return Array.from(pieces, ([, gap, number, word, sign]) => {
      if (gap !== undefined) return { tag: 'gap' };
      if (word !== undefined) return { tag: 'word', val: word };
      if (sign !== undefined) return { tag: 'sign', val: sign };
      if (/^\d+$/.test(number) && BigInt(number) <= U64_MAX) return { tag: 'whole', val: BigInt(number) };
      return { tag: 'number', val: Number(number) };
    });
  },

  encode(data, form) {
    const digits = DIGITS[form];
    const width = Math.log2(digits.length);
    const { out, held, bits } = regroup(data, 8, width);
    if (bits > 0) out.push(held << (width - bits));
    return out.map((value) => digits[value]).join('');
  },

  decode(text, form) {
    const digits = DIGITS[form];
    const width = Math.log2(digits.length);
    const values = [...text].map((character, at) => {
      const value = digits.indexOf(character);
      if (value < 0) throw { tag: 'character', val: { at, character } };
      return value;
    });
    const { out, bits } = regroup(values, width, 8);
    if (bits >= width) throw { tag: 'length', val: BigInt(values.length) };
    return new Uint8Array(out);
  },
};
