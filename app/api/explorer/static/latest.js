// A pointer moves faster than any network answers. So wishes replace each other while `most` requests are under way:
// what is asked next is always the latest wish, there is never a backlog, and an answer that was overtaken is dropped.

export class Latest {
  #underWay = 0;
  #asked = 0; // turns, counted: an answer of an earlier turn than the one shown comes too late
  #shown = 0;
  #wish = null;

  constructor({ ask, show, fail, most = 2 }) {
    Object.assign(this, { ask, show, fail, most });
  }

  wish(value) {
    this.#wish = { value };
    this.#next();
  }

  #next() {
    if (!this.#wish || this.#underWay >= this.most) return;
    const { value } = this.#wish;
    this.#wish = null;
    this.#take(value, ++this.#asked);
  }

  async #take(value, turn) {
    this.#underWay += 1;
    try {
      const answer = await this.ask(value);
      if (turn > this.#shown) {
        this.#shown = turn;
        this.show(answer, value);
      }
    } catch (error) {
      if (turn === this.#asked && !this.#wish) this.fail(error, value);
    } finally {
      this.#underWay -= 1;
      this.#next();
    }
  }
}
