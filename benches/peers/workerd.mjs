// The echo of the comparison as a worker: it parses the same JSON as the floor and writes the same answer.

export default {
  async fetch(request) {
    const { id, params } = await request.json();
    const content = [{ type: 'text', text: params.arguments.text }];
    return Response.json({ jsonrpc: '2.0', id, result: { resultType: 'complete', content } });
  },
};
