import assert from 'node:assert/strict';
import { test } from 'node:test';

import { reconcile } from '../src/dom.js';

/** A list of nodes as the DOM has it, which counts what is done to it. */
class Chain {
  nodes: Link[] = [];
  inserted: string[] = [];
  get firstChild(): Link | null {
    return this.nodes[0] ?? null;
  }
  insertBefore(node: Link, before: Link | null): void {
    this.inserted.push(node.name);
    this.nodes = this.nodes.filter((one) => one !== node);
    this.nodes.splice(before ? this.nodes.indexOf(before) : this.nodes.length, 0, node);
  }
}

class Link {
  constructor(
    readonly chain: Chain,
    readonly name: string,
  ) {}
  get nextSibling(): Link | null {
    return this.chain.nodes[this.chain.nodes.indexOf(this) + 1] ?? null;
  }
  remove(): void {
    this.chain.nodes = this.chain.nodes.filter((one) => one !== this);
  }
}

test('a list gets an order, and what is in order already is not touched', () => {
  const chain = new Chain();
  const made = new Map<string, Link>();
  const order = (names: string) => {
    chain.inserted = [];
    const nodes = [...names].map((name) => made.get(name) ?? made.set(name, new Link(chain, name)).get(name)!);
    reconcile<Link>(chain, nodes);
    assert.equal(chain.nodes.map(({ name }) => name).join(''), names);
    return chain.inserted.join('');
  };
  assert.equal(order('abc'), 'abc');
  assert.equal(order('xabc'), 'x');
  assert.equal(order('ac'), '');
  assert.equal(order('aybc'), 'yb');
  assert.equal(order('caybz'), 'cz');
  assert.equal(order(''), '');
});
