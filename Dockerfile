# The page on a processor, or with `docker run --gpus all` on a graphics card: docker run -p 7860:7860 babe2
FROM python:3.12-slim
WORKDIR /babe2
COPY requirements.txt .
RUN pip install --no-cache-dir --requirement requirements.txt
COPY . .
RUN useradd --create-home listener
USER listener
ENV GRADIO_SERVER_NAME=0.0.0.0 GRADIO_ANALYTICS_ENABLED=False HF_HUB_DISABLE_TELEMETRY=1
EXPOSE 7860
CMD ["python", "app.py"]
